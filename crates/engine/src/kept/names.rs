//! What files of a torrent are called here, if not what the torrent calls them.

use crate::{Error, Metainfo};
use metainfo::names::{Folding, Rules, safe_element};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a path below a torrent's folder. A longer one is refused: what the system takes is little more.
const MAX_PATH: usize = 2048;

/// Paths that take the place of the torrent's own, by file.
pub(super) type Names = BTreeMap<usize, String>;

/// The names once a file, or a folder with all that is in it, has another path.
pub(super) fn renamed(metainfo: &Metainfo, names: &Names, path: &str, to: &str) -> Result<Names, Error> {
    let (path, to) = (path.trim_end_matches('/'), to.trim_end_matches('/'));
    let mut after = names.clone();
    let mut is_there = false;
    for (file, is) in paths(metainfo, names) {
        let rest = match is.strip_prefix(path) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => continue,
        };
        is_there = true;
        let becomes = format!("{to}{rest}");
        match becomes == metainfo.files()[file].path.as_str() {
            true => after.remove(&file),
            false => after.insert(file, becomes),
        };
    }
    if !is_there || path.is_empty() {
        return refuse(format!("the torrent has no file or folder {path:?}"));
    }
    check(metainfo, &after).map(|()| after)
}

/// Refuses paths that are not fit for a file system, or on which two files meet.
pub(crate) fn check(metainfo: &Metainfo, names: &Names) -> Result<(), Error> {
    let is_file = |file: usize| metainfo.files().get(file).is_some_and(metainfo::File::is_regular);
    if !names.keys().all(|&file| is_file(file)) {
        return refuse("a path is given for a file that the torrent does not have".into());
    }
    let is_safe = |element: &str| {
        !element.is_empty() && safe_element(element.as_bytes(), Rules::NATIVE).as_deref() == Some(element)
    };
    for path in names.values() {
        if path.len() > MAX_PATH || !path.split('/').all(is_safe) {
            let start: String = path.chars().take(100).collect();
            return refuse(format!(
                "{start:?} is no path that is safe below a torrent's folder; choose another"
            ));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    // As file systems have it that tell least apart.
    let (mut taken, mut folding) = (BTreeSet::new(), Folding::default());
    for (_, path) in paths(metainfo, names) {
        if !taken.insert(folding.fold(path).to_owned()) {
            return refuse(format!("another file of the torrent is {path:?}"));
        }
    }
    for path in &taken {
        let mut folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        if let Some(both) = folders.find(|folder| taken.contains(*folder)) {
            return refuse(format!("{both:?} would be a file and a folder"));
        }
    }
    Ok(())
}

/// What each file is called.
pub(super) fn paths<'a>(metainfo: &'a Metainfo, names: &'a Names) -> impl Iterator<Item = (usize, &'a str)> {
    let files = metainfo.files().iter().enumerate().filter(|(_, file)| file.is_regular());
    files.map(|(file, own)| (file, names.get(&file).map_or(own.path.as_str(), String::as_str)))
}

fn refuse<T>(why: String) -> Result<T, Error> {
    Err(Error::Refused(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "t" with "a/x", "a/y" and "b".
    fn sample() -> Metainfo {
        let file = |path: &str| format!("d6:lengthi5e4:pathl{path}ee");
        let files = [file("1:a1:x"), file("1:a1:y"), file("1:b")].concat();
        let hash = "h".repeat(20);
        let torrent = format!("d4:infod5:filesl{files}e4:name1:t12:piece lengthi16384e6:pieces20:{hash}ee");
        Metainfo::parse(torrent.as_bytes()).unwrap()
    }

    fn names(list: &[(usize, &str)]) -> Names {
        list.iter().map(|&(file, path)| (file, path.to_owned())).collect()
    }

    #[test]
    fn files_and_folders_get_other_paths_and_their_own_again() {
        let torrent = sample();
        let rename = |names: &Names, path, to| renamed(&torrent, names, path, to).unwrap();
        let once = rename(&Names::new(), "t/a", "t/c/d");
        assert_eq!(once, names(&[(0, "t/c/d/x"), (1, "t/c/d/y")]));
        let twice = rename(&once, "t/c/d/x", "t/z");
        assert_eq!(twice, names(&[(0, "t/z"), (1, "t/c/d/y")]));
        let all = rename(&twice, "t", "other");
        assert_eq!(all, names(&[(0, "other/z"), (1, "other/c/d/y"), (2, "other/b")]));
        let back = rename(&rename(&rename(&all, "other", "t"), "t/z", "t/a/x"), "t/c/d", "t/a");
        assert_eq!(back, Names::new());
    }

    #[test]
    fn paths_that_lead_out_or_meet_are_refused() {
        let torrent = sample();
        let long = "x/".repeat(MAX_PATH / 2) + "x";
        let bad = [
            ("t/a", ".."),
            ("t/a", "/etc"),
            ("t/b", "t/../x"),
            ("t/b", ""),
            ("t/b", "t//x"),
            ("t/b", "t/./x"),
            ("t/b", "t/a/x"),
            ("t/b", "t/A/X"),
            ("t/b", "t/a"),
            ("t/b", "t/a/x/y"),
            ("t/b", "t/a/\u{ad}x"),
            ("t/b", "t/\0"),
            ("t/b", "t/con"),
            ("t/b", "t/\u{202e}x"),
            ("t/b", "t\\x"),
            ("t/no", "t/x"),
            ("", "x"),
            ("t/a", "t/b"),
            ("a", "x"),
            ("t/b", &long),
        ];
        for (path, to) in bad {
            let refused = renamed(&torrent, &Names::new(), path, to);
            assert!(matches!(refused, Err(Error::Refused(_))), "{path} to {to}: {refused:?}");
        }
        assert!(check(&torrent, &names(&[(3, "x")])).is_err());
        assert!(renamed(&torrent, &Names::new(), "t/b", &long[2..]).is_ok());
    }
}
