//! Where symlinks point.

use crate::{File, FileKind, SafePath};
use alloc::format;
use alloc::vec::Vec;

/// Corrects targets that are given from the link's own folder, as some programs do, and not from the torrent's (BEP 47).
///
/// Such a target is known by what is there: nothing of that name in the torrent's folder, but in the link's.
pub(super) fn correct_targets(files: &mut [File]) {
    if !files.iter().any(|file| matches!(file.kind, FileKind::Symlink { .. })) {
        return;
    }
    let mut paths: Vec<SafePath> = files.iter().map(|file| file.path.clone()).collect();
    paths.sort_unstable();
    for file in files {
        let FileKind::Symlink { target } = &mut file.kind else { continue };
        let mut beside_link = file.path.clone();
        let mut elements = target.elements().skip(1);
        beside_link.set_file_name(elements.next().unwrap_or_default());
        elements.for_each(|element| beside_link.push(element));
        if !exists(&paths, target) && exists(&paths, &beside_link) {
            *target = beside_link;
        }
    }
}

/// Whether `path` is one of the sorted `paths`, or the folder of one.
fn exists(paths: &[SafePath], path: &SafePath) -> bool {
    let within = format!("{path}/");
    let first_within = paths.partition_point(|other| other.as_str() < within.as_str());
    paths.binary_search(path).is_ok()
        || paths.get(first_within).is_some_and(|other| other.as_str().starts_with(&within))
}
