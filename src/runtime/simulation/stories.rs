//! Small lives, each about one thing.
