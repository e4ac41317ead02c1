//! Files that would land on each other, told apart: `bar.txt`, then `bar.1.txt`.
//!
//! Two names are the same if some file system says so ([`folded`](crate::names::folded)). A file may also have the name of
//! another one's folder. The first in the torrent's order keeps its name, a folder always does.

use crate::names::Folding;
use crate::{Error, File};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Sorts before every character that a safe name can hold, so that a folder's files directly follow its own name.
const SEPARATOR: &str = "\u{1}";

/// Renames regular files until no two have the same path; gives up after `max_collisions` names that were taken as well.
pub(crate) fn tell_apart(files: &mut [File], max_collisions: usize) -> Result<(), Error> {
    let mut folding = Folding::default();
    let mut key = |path: &str| folding.fold(path).replace('/', SEPARATOR);
    let mut taken: Vec<(String, usize)> = files
        .iter()
        .enumerate()
        .filter(|(_, file)| file.is_regular())
        .map(|(index, file)| (key(file.path.as_str()), index))
        .collect();
    taken.sort_unstable();
    let clashing = clashing(&taken);
    let mut renamed = BTreeSet::new();
    let mut collisions = 0;
    for index in clashing {
        let mut path = files[index].path.clone();
        let name = String::from(path.file_name());
        for number in 1u32.. {
            path.set_file_name(&numbered(&name, number));
            let key = key(path.as_str());
            if !is_taken(&taken, &key) && renamed.insert(key) {
                break;
            }
            collisions += 1;
            if collisions > max_collisions {
                return Err(Error::TooManyDuplicates(max_collisions));
            }
        }
        files[index].path = path;
    }
    Ok(())
}

/// The files whose name is an earlier file's or a folder's, in the torrent's order.
fn clashing(taken: &[(String, usize)]) -> Vec<usize> {
    let mut clashing = Vec::new();
    for same_name in taken.chunk_by(|(a, _), (b, _)| a == b) {
        let (key, _) = &same_name[0];
        let keeps_name = usize::from(!is_folder(taken, key));
        clashing.extend(same_name[keeps_name..].iter().map(|(_, index)| *index));
    }
    clashing.sort_unstable();
    clashing
}

fn is_taken(taken: &[(String, usize)], key: &str) -> bool {
    taken.binary_search_by(|(other, _)| other.as_str().cmp(key)).is_ok() || is_folder(taken, key)
}

fn is_folder(taken: &[(String, usize)], key: &str) -> bool {
    let within = format!("{key}{SEPARATOR}");
    let first = taken.partition_point(|(other, _)| *other < within);
    taken.get(first).is_some_and(|(other, _)| other.starts_with(&within))
}

fn numbered(name: &str, number: u32) -> String {
    match name.rfind('.') {
        Some(dot) if dot > 0 => format!("{}.{number}{}", &name[..dot], &name[dot..]),
        _ => format!("{name}.{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileKind, SafePath};
    use alloc::string::ToString;

    fn told_apart(paths: &[&str]) -> Result<Vec<String>, Error> {
        let mut files: Vec<File> = paths.iter().map(|path| file(path)).collect();
        tell_apart(&mut files, 6)?;
        Ok(files.iter().map(|f| f.path.to_string()).collect())
    }

    fn file(path: &str) -> File {
        let kind = if path.ends_with("pad") { FileKind::Pad } else { FileKind::Regular };
        let path = SafePath::new(path);
        File { path, length: 0, offset: 0, kind, executable: false, hidden: false, pieces_root: None }
    }

    #[test]
    fn later_files_give_way() {
        assert_eq!(
            told_apart(&["t/a.txt", "t/A.TXT", "t/a.txt"]).unwrap(),
            ["t/a.txt", "t/A.1.TXT", "t/a.2.txt"]
        );
        assert_eq!(told_apart(&["t/a.1", "t/a", "t/a"]).unwrap(), ["t/a.1", "t/a", "t/a.2"]);
        assert_eq!(told_apart(&["t/.x", "t/.x"]).unwrap(), ["t/.x", "t/.x.1"]);
        assert_eq!(told_apart(&["t/É", "t/é"]).unwrap(), ["t/É", "t/é.1"]);
        assert_eq!(told_apart(&["t/\u{e9}", "t/e\u{301}"]).unwrap(), ["t/\u{e9}", "t/e\u{301}.1"]);
        assert_eq!(told_apart(&["t/straße", "t/STRASSE"]).unwrap(), ["t/straße", "t/STRASSE.1"]);
        assert_eq!(told_apart(&["t/\u{e9}/a", "t/E\u{301}"]).unwrap(), ["t/\u{e9}/a", "t/E\u{301}.1"]);
        assert_eq!(
            told_apart(&["t/pad", "t/pad"]).unwrap(),
            ["t/pad", "t/pad"],
            "pad files are never written"
        );
    }

    #[test]
    fn files_give_way_to_folders() {
        assert_eq!(told_apart(&["t/a", "t/A/b"]).unwrap(), ["t/a.1", "t/A/b"]);
        assert_eq!(told_apart(&["t/a/b", "t/a", "t/a.1/c"]).unwrap(), ["t/a/b", "t/a.2", "t/a.1/c"]);
        assert_eq!(told_apart(&["t/a", "t/a b/c", "t/a!"]).unwrap(), ["t/a", "t/a b/c", "t/a!"]);
    }

    #[test]
    fn the_limit_is_reached() {
        // The second finds a name at once, the third the second time, and so on.
        assert!(told_apart(&["t/a"; 5]).is_ok());
        assert_eq!(told_apart(&["t/a"; 6]).unwrap_err(), Error::TooManyDuplicates(6));
    }
}
