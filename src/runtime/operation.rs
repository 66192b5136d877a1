//! A command that changes something, step by step.
