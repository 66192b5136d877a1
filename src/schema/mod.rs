//! The option table and everything that is fed by it.
