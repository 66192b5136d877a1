use super::Machine;
use crate::base::Now;

/// What happens to an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {}

/// What a machine asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {}

#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub machine: Machine,
    pub asks: Vec<Ask>,
}

/// Next state and what is asked for.
#[must_use]
pub fn step(_machine: &Machine, _event: Event, _now: Now) -> Transition {
    unimplemented!()
}
