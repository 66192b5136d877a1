//! What stands for an app's code.
