//! Files in and out. Nothing is written until everything has gone well, and then each file whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A file's bytes, mapped: weights are only read where they are used.
pub(crate) fn map(path: &Path) -> Result<Bytes, Failure> {
    let unreadable = |error| Failure::unreadable(path, &error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Failure::unreadable(path, &std::io::Error::other("it is not a file")));
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private and read-only. Somebody who cuts the file short while we read it can end this
    // process, as with any mapped file; nothing of ours ever writes to an input.
    #[allow(unsafe_code, reason = "a memory map is unsafe by nature; see the argument above")]
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(unreadable)?;
    Ok(Bytes::from_owner(map))
}

/// A text file.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::unreadable(path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::input(format!(
            "error[not-text]: {}: byte {at} is not UTF-8\n  is this a text file?",
            path.display()
        ))
    })
}

/// Results that wait for the run to end well.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Outputs {
    /// Keeps a file's content for later.
    pub(crate) fn add(&mut self, path: &Path, content: Vec<u8>) {
        self.files.push((path.to_owned(), content));
    }

    /// Writes all files: first beside their places, then all into place.
    pub(crate) fn write(self) -> Result<(), Failure> {
        let mut written = Vec::new();
        for (path, content) in self.files {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let file = beside(folder, &content).map_err(|error| Failure::unwritable(&path, &error))?;
            written.push((path, file));
        }
        for (path, file) in written {
            file.persist(&path).map_err(|error| Failure::unwritable(&path, &error.error))?;
        }
        Ok(())
    }
}

fn beside(folder: &Path, content: &[u8]) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lpuc-");
    // A temporary file is its owner's alone; a result gets the permissions that any new file gets.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}
