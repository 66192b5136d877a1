//! The only code that calls the operating system about processes, and the only `unsafe` code.
