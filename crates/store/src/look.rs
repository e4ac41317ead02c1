//! A store that is looked at and left as it is.

use crate::lock::{self, Lock};
use crate::open::{self, NAME};
use crate::{OpenError, Opened, Table};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Reads tables of a store that no process has open, if there is one, and changes nothing in its folder, which may be on a disk
/// that cannot be written to: a copy is opened, which needs as much room in the folder for temporary files. [`Opened::damaged`]
/// and [`Opened::upgraded`] are the database then that would be put aside or kept.
///
/// # Errors
/// [`OpenError`], as of [`Store::open`](crate::Store::open).
pub fn look(dir: &Path, tables: &[Table]) -> Result<Option<Opened>, OpenError> {
    open::must_be_files(dir)?;
    let lock = Lock::take_to_look(dir)?;
    if !lock.as_ref().is_some_and(Lock::says_begun) && !open::FILES.iter().any(|name| dir.join(name).exists())
    {
        return Ok(None);
    }
    let copy = private().map_err(|err| no_copy(&err))?;
    copy_store(dir, copy.path()).map_err(|err| no_copy(&err))?;
    let (_, database, opened) =
        open::open(copy.path(), tables).map_err(|error| error.elsewhere(copy.path(), dir))?;
    drop(database);
    let there = |path: Option<PathBuf>| path.map(|_| dir.join(NAME));
    Ok(Some(Opened { damaged: there(opened.damaged), upgraded: there(opened.upgraded), ..opened }))
}

/// A folder for its user alone: there are keys of trackers in the store.
fn private() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("rawtorrent-").permissions(Permissions::from_mode(0o700)).tempdir()
}

fn no_copy(err: &io::Error) -> OpenError {
    OpenError::NoCopy { dir: std::env::temp_dir(), reason: err.to_string() }
}

/// All that counts when it is opened.
fn copy_store(dir: &Path, to: &Path) -> io::Result<()> {
    for name in open::FILES.iter().chain([&lock::NAME]) {
        match fs::copy(dir.join(name), to.join(name)) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        // That there are some says that a session was here.
        if name.as_encoded_bytes().starts_with(b"damaged-")
            || name.as_encoded_bytes().starts_with(b"session-format-")
        {
            File::create(to.join(name))?;
        }
    }
    match fs::read_dir(dir.join(open::TORRENTS_FOLDER)).is_ok_and(|mut torrents| torrents.next().is_some()) {
        true => fs::create_dir_all(to.join(open::TORRENTS_FOLDER).join("some")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_read_the_copy() {
        let mode = fs::metadata(private().unwrap().path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
