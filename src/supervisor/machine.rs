/// Everything that the state machine knows of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine;
