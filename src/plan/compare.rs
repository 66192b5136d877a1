use super::Change;
use crate::base::Key;
use crate::spec::AppSpec;

/// Every field in which two specs differ, in the option table's order, secrets hidden.
#[must_use]
pub fn compare(_old: &AppSpec, _new: &AppSpec, _key: &Key) -> Vec<Change> {
    unimplemented!()
}
