//! u32 length (big endian), then that many bytes of JSON.
