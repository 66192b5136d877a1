use std::path::{Path, PathBuf};

/// The file that was found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    pub file: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    #[error("no ecosystem file in `{folder}`")]
    None { folder: PathBuf, tried: Vec<String> },
    #[error("more than one ecosystem file in `{folder}`: {}", .files.join(", "))]
    Several { folder: PathBuf, files: Vec<String> },
}

/// Looks for the usual names in a folder.
///
/// # Errors
/// When there is none, or more than one.
pub fn discover(_folder: &Path) -> Result<Discovery, DiscoveryError> {
    unimplemented!()
}
