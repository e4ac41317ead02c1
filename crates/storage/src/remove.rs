//! A torrent's files go, and nothing else.

use crate::os::Os;
use crate::root::Root;
use crate::{Error, Layout};
use std::collections::BTreeSet;
use std::path::Path;

/// Removes those of a torrent's files below `root` that are `ours`, by index, then the folders of the torrent that are empty.
/// What is gone already is no error. No link is followed, and none removed.
///
/// # Errors
/// What the operating system reports first; as much as can be is removed all the same.
pub fn remove_files(root: &Path, layout: &Layout, ours: &[bool]) -> Result<(), Error> {
    let (os, root) = (Os::default(), Root::new(root.to_path_buf(), None));
    let mut first = Ok(());
    let mut folders = BTreeSet::new();
    let files = (0..layout.files().len()).filter(|&file| layout.is_regular(file));
    for file in files.filter(|&file| ours.get(file) == Some(&true)) {
        let path = layout.path(file);
        let removed = os.look(&root, path).and_then(|_| os.remove(&root, path));
        match removed {
            Ok(()) | Err(Error::Gone(_)) => {}
            Err(error) => first = first.and(Err(error)),
        }
        let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
        folders.extend(parents.map(str::to_owned));
    }
    // The deepest first. One that is not empty stays.
    folders.iter().rev().for_each(|folder| os.remove_folder(&root, folder));
    first
}
