use crate::base::InstanceId;
use crate::rpc::wire::InstanceView;

/// What a command is about: a name, `name:instance`, an id, `all`, `/regex/`, `namespace`.
#[derive(Clone, Debug)]
pub struct Target(pub String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError {
    pub target: String,
    pub suggestion: Option<String>,
}

/// The instances that a list of targets names, in the order of `list`, each once.
///
/// # Errors
/// The first target that names nothing (`all` never fails).
pub fn resolve(_targets: &[String], _instances: &[InstanceView]) -> Result<Vec<InstanceId>, TargetError> {
    unimplemented!()
}
