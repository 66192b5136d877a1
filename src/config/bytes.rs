//! Reading files within limits.
