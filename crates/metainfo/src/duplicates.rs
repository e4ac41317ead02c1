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
use hash::Sha1;

/// What a folded path hashes to: paths may be much longer, and longer still when they are folded. Whoever makes two that
/// differ have the same only has one of them renamed in vain.
type Key = [u8; 16];

/// Renames regular files until no two have the same path; gives up after `max_collisions` names that were taken as well.
pub(crate) fn tell_apart(files: &mut [File], max_collisions: usize) -> Result<(), Error> {
    let mut taken = Taken::of(files);
    let mut folding = Folding::default();
    let mut collisions = 0;
    for index in taken.clashing() {
        let mut path = files[index].path.clone();
        let name = String::from(path.file_name());
        for number in 1u32.. {
            path.set_file_name(&numbered(&name, number));
            if taken.insert(keys(folding.fold(path.as_str()), 0, |_| ())) {
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

/// The paths of regular files and of their folders.
#[derive(Default)]
struct Taken {
    /// In order; each with the number of its file.
    files: Vec<(Key, usize)>,
    /// In order.
    folders: Vec<Key>,
    /// Of files that got another name.
    renamed: BTreeSet<Key>,
}

impl Taken {
    fn of(files: &[File]) -> Taken {
        let mut taken = Taken::default();
        let (mut folding, mut before) = (Folding::default(), String::new());
        for (index, file) in files.iter().enumerate().filter(|(_, file)| file.is_regular()) {
            let path = folding.fold(file.path.as_str());
            let common = before.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
            let known = path.as_bytes()[..common].iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            let key = keys(path, known, |folder| taken.folders.push(folder));
            taken.files.push((key, index));
            before.replace_range(known.., &path[known..]);
        }
        taken.files.sort_unstable();
        taken.folders.sort_unstable();
        taken.folders.dedup();
        taken
    }

    /// The files whose name is an earlier file's or a folder's, in the torrent's order.
    fn clashing(&self) -> Vec<usize> {
        let mut clashing = Vec::new();
        for same_name in self.files.chunk_by(|(a, _), (b, _)| a == b) {
            let keeps_name = usize::from(!self.is_folder(&same_name[0].0));
            clashing.extend(same_name[keeps_name..].iter().map(|(_, index)| *index));
        }
        clashing.sort_unstable();
        clashing
    }

    fn is_folder(&self, key: &Key) -> bool {
        self.folders.binary_search(key).is_ok()
    }

    /// Takes a name for a file that gets another one; `false` if it is taken.
    fn insert(&mut self, key: Key) -> bool {
        let is_file = self.files.binary_search_by(|(other, _)| other.cmp(&key)).is_ok();
        !is_file && !self.is_folder(&key) && self.renamed.insert(key)
    }
}

/// The key of a folded path; before it those of its folders are told, but for those that end within the first `known` bytes.
fn keys(path: &str, known: usize, mut folder: impl FnMut(Key)) -> Key {
    let short = |sha: Sha1| -> Key {
        let hash: [u8; 20] = sha.finalize();
        *hash.first_chunk().expect("a hash is longer than a key")
    };
    let (mut sha, mut at) = (Sha1::new(), 0);
    for (end, _) in path.match_indices('/') {
        sha.update(&path.as_bytes()[at..end]);
        at = end;
        if end > known {
            folder(short(sha.clone()));
        }
    }
    sha.update(&path.as_bytes()[at..]);
    short(sha)
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
    fn long_paths_take_no_more_room_than_short_ones() {
        // Of letters that are three times as long when they are folded, each in a folder of its own.
        let names = |letters: usize| {
            let path =
                |n: usize| format!("t/{}/{n}/{}", "\u{390}".repeat(letters), "\u{390}".repeat(letters));
            (0..1000).map(|n| file(&path(n))).collect::<Vec<_>>()
        };
        let [short, long] = [1, 120].map(|letters| Taken::of(&names(letters)));
        for taken in [&short, &long] {
            assert_eq!((taken.files.len(), taken.folders.len()), (1000, 1002));
        }
        let per_file = size_of::<(Key, usize)>() + size_of::<Key>();
        let took =
            long.files.capacity() * size_of::<(Key, usize)>() + long.folders.capacity() * size_of::<Key>();
        assert!(took <= 2 * per_file * 1002, "{took}");
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
