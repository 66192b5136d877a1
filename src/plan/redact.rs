use crate::base::Key;

/// Whether a variable's or option's name says that its value is a secret.
#[must_use]
pub fn is_secret_name(_name: &str) -> bool {
    unimplemented!()
}

/// A variable's value as it may be shown.
#[must_use]
pub fn shown_env(_name: &str, _value: &str, _key: &Key) -> String {
    unimplemented!()
}

/// Any other value as it may be shown: URLs lose their credentials, `--token=x` its value.
#[must_use]
pub fn shown_text(_value: &str, _key: &Key) -> String {
    unimplemented!()
}

/// Whether a value kept under a name is, or has in it, what may not be seen.
#[must_use]
pub fn holds_secret(_name: &str, _value: &str) -> bool {
    unimplemented!()
}
