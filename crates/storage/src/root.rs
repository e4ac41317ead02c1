//! The folder that holds a torrent's files, and how it is told that its disk is there.
//!
//! Where a disk is mounted, an empty folder of another disk lies when it is not. A torrent must neither write there nor
//! believe that its files are gone. Two things tell: the mount point that the folder is known to lie under must be one,
//! and as long as a torrent is open its folder stays on the same device.

use crate::Error;
use crate::os::retry;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder below which a torrent's files lie.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    /// The mount point that it lies under, if it is known to lie under one.
    mount: Option<PathBuf>,
    /// Of the folder, since it was first seen.
    device: OnceLock<u64>,
}

impl Root {
    pub(crate) fn new(path: PathBuf, mount: Option<PathBuf>) -> Root {
        Root { path, mount, device: OnceLock::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn mount(&self) -> Option<&Path> {
        self.mount.as_deref()
    }

    /// Whether its disk is there, as far as that can be told.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(crate) fn must_be_mounted(&self) -> Result<(), Error> {
        self.mount.as_deref().map_or(Ok(()), must_be_mounted)
    }

    /// Opens the folder, unless it lies on another device than before.
    ///
    /// # Errors
    /// [`Error::Unavailable`], and what the operating system reports.
    pub(crate) fn open(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = retry(|| rustix::fs::open(&self.path, flags, Mode::empty()))
            .map_err(|errno| Error::os("open", &self.path, errno))?;
        self.must_be_the_same(&dir)?;
        Ok(dir)
    }

    fn must_be_the_same(&self, dir: impl AsFd) -> Result<(), Error> {
        let found = rustix::fs::fstat(dir).map_err(|errno| Error::os("look at", &self.path, errno))?;
        // The type differs between systems.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        let device = found.st_dev as u64;
        if self.device.get().is_none() {
            self.must_be_mounted()?;
        }
        if *self.device.get_or_init(|| device) == device {
            Ok(())
        } else {
            Err(Error::Unavailable(self.path.clone()))
        }
    }
}

/// The mount point under which a path lies, or will lie once its folders are made; `None` if that is where everything
/// lies.
pub fn mount_point(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let there = absolute.ancestors().find_map(|part| fs::canonicalize(part).ok())?;
    there.ancestors().find(|part| is_mount_point(part)).filter(|part| part.parent().is_some()).map(Into::into)
}

/// Whether something is mounted where a disk is to be.
///
/// # Errors
/// [`Error::Unavailable`].
pub fn must_be_mounted(mount: &Path) -> Result<(), Error> {
    if is_mount_point(mount) { Ok(()) } else { Err(Error::Unavailable(mount.into())) }
}

/// Whether something is mounted at a folder. It is said of what cannot be told too, such as a folder that may not be looked at.
fn is_mount_point(folder: &Path) -> bool {
    let Ok(found) = fs::metadata(folder) else { return false };
    let Some(parent) = folder.parent() else { return true };
    if fs::metadata(parent).is_ok_and(|parent| parent.dev() != found.dev()) {
        return true;
    }
    // What is mounted from elsewhere on the same device looks no different otherwise.
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
        let told = rustix::fs::statx(CWD, folder, AtFlags::empty(), StatxFlags::empty());
        told.is_ok_and(|told| told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
    #[cfg(not(target_os = "linux"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_from_below() {
        assert_eq!(mount_point(Path::new("/proc/self/not/there")), Some("/proc".into()));
        assert_eq!(mount_point(Path::new("/proc")), Some("/proc".into()));
        assert!(is_mount_point(Path::new("/proc")) && is_mount_point(Path::new("/")));
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(dir.path()));
        assert_eq!(mount_point(dir.path()), mount_point(&dir.path().join("x/y")));
    }

    #[test]
    fn another_device_is_not_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        let root = Root::new(path.clone(), None);
        fs::create_dir(&path).unwrap();
        root.open().unwrap();
        fs::remove_dir(&path).unwrap();
        assert_eq!(root.open().unwrap_err(), Error::Gone(path.clone()));
        std::os::unix::fs::symlink("/proc", &path).unwrap();
        assert_eq!(root.open().unwrap_err(), Error::Unavailable(path.clone()));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        root.open().unwrap();
    }

    #[test]
    fn a_folder_without_its_mount_point_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path().into(), Some(dir.path().into()));
        assert_eq!(root.open().unwrap_err(), Error::Unavailable(dir.path().into()));
        assert!(Root::new("/proc".into(), Some("/proc".into())).open().is_ok());
    }
}
