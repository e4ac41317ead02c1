//! A torrent's files go, and nothing else.

use crate::os::{Found, Os};
use crate::root::Root;
use crate::{Error, FileStamp, Layout};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Removes those of a torrent's files below `root` that are `ours`, by index, and that look like it to `may_go`, then the
/// folders of the torrent that are empty. What is gone already is no error. No link is followed, and none removed.
///
/// # Errors
/// [`Error::Unavailable`] if the folder's `mount` point is none now: nothing is removed then. What cannot be removed by itself
/// is returned, with what the operating system reports.
pub fn remove_files(
    root: &Path,
    mount: Option<PathBuf>,
    layout: &Layout,
    ours: &[bool],
    mut may_go: impl FnMut(usize, &FileStamp) -> bool,
) -> Result<Vec<(PathBuf, Error)>, Error> {
    let (os, root) = (Os::default(), Root::new(root.to_path_buf(), mount));
    root.must_be_mounted()?;
    let mut stayed = Vec::new();
    let mut folders = BTreeSet::new();
    let files = (0..layout.files().len()).filter(|&file| layout.is_regular(file));
    for file in files.filter(|&file| ours.get(file) == Some(&true)) {
        let path = layout.path(file);
        let removed = match os.look(&root, path) {
            Ok(Found::File(stamp)) if may_go(file, &stamp) => os.remove(&root, path),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) | Err(Error::Gone(_)) => {}
            Err(error) => stayed.push((layout.path_under(root.path(), file), error)),
        }
        let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
        folders.extend(parents.map(str::to_owned));
    }
    // The deepest first. One that is not empty stays.
    folders.iter().rev().for_each(|folder| os.remove_folder(&root, folder));
    Ok(stayed)
}

/// What each of a torrent's files looks like; none if nothing is there, or nothing that can be looked at.
pub fn file_stamps(root: &Path, layout: &Layout) -> Vec<Option<FileStamp>> {
    let (os, root) = (Os::default(), Root::new(root.to_path_buf(), None));
    let look = |file| match os.look(&root, layout.path(file)) {
        Ok(Found::File(stamp)) if layout.is_regular(file) => Some(stamp),
        _ => None,
    };
    (0..layout.files().len()).map(look).collect()
}

/// Whether any of a torrent's files is there; what can't be told counts as there.
///
/// # Errors
/// [`Error::Unavailable`] if the folder's `mount` point is none now.
pub fn any_file(root: &Path, mount: Option<PathBuf>, layout: &Layout) -> Result<bool, Error> {
    match find_any_file(root, mount, layout) {
        Err(error) if !matches!(error, Error::Unavailable(_)) => Ok(true),
        found => found,
    }
}

/// Whether any of a torrent's files is there.
///
/// # Errors
/// [`Error::Unavailable`] if the folder's `mount` point is none now; if none is found, why one of them cannot be looked at.
pub fn find_any_file(root: &Path, mount: Option<PathBuf>, layout: &Layout) -> Result<bool, Error> {
    let (os, root) = (Os::default(), Root::new(root.to_path_buf(), mount));
    root.must_be_mounted()?;
    let mut unseen = None;
    for file in (0..layout.files().len()).filter(|&file| layout.is_regular(file)) {
        match os.look(&root, layout.path(file)) {
            Ok(Found::Nothing) | Err(Error::Gone(_)) => {}
            Ok(_) => return Ok(true),
            Err(error) => {
                unseen.get_or_insert(error);
            }
        }
    }
    unseen.map_or(Ok(false), Err)
}
