//! Assembly: lock, socket, restore, serve.
