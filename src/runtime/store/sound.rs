//! Whether a state is whole, found out on a copy in memory: the file itself is not touched, and nothing that is in it can
//! have this process read, write or take more than the copy has.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use redb::{ReadTransaction, ReadableDatabase as _, StorageBackend};

use super::{CACHE_BYTES, Fault, StoreError, damaged, io_error, open_error, patiently, quietly};

/// No state is as large: ten thousand apps take a twentieth of it.
const SIZE_MAX: u64 = 1 << 30;
/// What redb may add to a copy while it puts it right.
const GROWTH_MAX: u64 = 16 << 20;

/// Who it is that has a file open, where somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locked {
    ByUs,
    ByOthers,
}

/// What a file says, when all of it is as it was written: each page is checked against the digest that its parent has of it.
pub(super) fn read<T>(
    path: &Path,
    locked: Locked,
    load: impl FnOnce(&ReadTransaction, &Path) -> Result<T, Fault>,
) -> Result<T, StoreError> {
    let bytes = bytes(path, locked)?;
    match quietly(|| check(path, bytes, load)) {
        Some(state) => state,
        None => Err(damaged(path, "its structure is broken")),
    }
}

fn bytes(path: &Path, locked: Locked) -> Result<Vec<u8>, StoreError> {
    let failed = |error: &io::Error| io_error("read", path, error);
    let metadata = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(damaged(path, "it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(damaged(path, "the file is empty"));
    }
    if metadata.len() > SIZE_MAX {
        return Err(damaged(path, "it is larger than any state"));
    }
    let file = File::open(path).map_err(|error| failed(&error))?;
    if locked == Locked::ByOthers {
        // Where files cannot be locked `daemon.lock` says who may read.
        patiently(|| match file.try_lock_shared() {
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Held { path: path.display().to_string() }),
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => Ok(()),
        })?;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(SIZE_MAX).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn check<T>(
    path: &Path,
    bytes: Vec<u8>,
    load: impl FnOnce(&ReadTransaction, &Path) -> Result<T, Fault>,
) -> Result<T, StoreError> {
    let fault = |fault: Fault| match fault {
        Fault::Store(error) => error,
        // Memory has no faults of its own.
        Fault::Redb(error) => damaged(path, &error.to_string()),
    };
    let copy = Copy { max: bytes.len() as u64 + GROWTH_MAX, bytes: RwLock::new(bytes) };
    let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(copy);
    let mut database = database.map_err(|error| match open_error(path, error) {
        StoreError::Io { reason, .. } => damaged(path, &reason),
        error => error,
    })?;
    if !database.check_integrity().map_err(|error| fault(Fault::from(error)))? {
        return Err(damaged(path, "some of it is not what was written"));
    }
    let transaction = database.begin_read().map_err(|error| fault(Fault::from(error)))?;
    load(&transaction, path).map_err(fault)
}

#[derive(Debug)]
struct Copy {
    bytes: RwLock<Vec<u8>>,
    max: u64,
}

impl Copy {
    fn range(offset: u64, length: usize, all: usize) -> io::Result<std::ops::Range<usize>> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(length)?)).filter(|range| range.end <= all);
        range.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }
}

impl StorageBackend for Copy {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.read().unwrap_or_else(PoisonError::into_inner);
        out.copy_from_slice(&bytes[Self::range(offset, out.len(), bytes.len())?]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.max {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.bytes.write().unwrap_or_else(PoisonError::into_inner).resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        let range = Self::range(offset, data.len(), bytes.len())?;
        bytes[range].copy_from_slice(data);
        Ok(())
    }
}
