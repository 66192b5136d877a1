/// Where an instance is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {}

/// Why an instance was given up on.
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorReason {}
