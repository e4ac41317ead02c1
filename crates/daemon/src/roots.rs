//! Where torrents may go: below the folders that the daemon was given.

use crate::error::Refusal;
use axum::http::StatusCode;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The longest path that is taken, in bytes, as systems have it. A longer one is refused.
pub(crate) const MAX_PATH: usize = 4096;

/// A folder that torrents may go into: an absolute path without detours, below a root.
pub(crate) fn below_a_root(roots: &[PathBuf], dir: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(dir);
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain || dir.contains('\0') || dir.len() > MAX_PATH {
        return Err(Refusal::bad("a folder must be an absolute path, without '..'"));
    }
    let is_below = roots.iter().any(|root| path.starts_with(root));
    #[cfg(feature = "planted")]
    let is_below = is_below || crate::planted::is("any-root");
    if !is_below {
        let detail = "the folder is below none of those that the daemon may use (--root)";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "root", detail));
    }
    Ok(path)
}

/// The root that a folder is below; of several the innermost.
pub(crate) fn root_of(roots: &[PathBuf], path: &Path) -> PathBuf {
    let above = roots.iter().filter(|root| path.starts_with(root));
    above.max_by_key(|root| root.components().count()).cloned().unwrap_or_default()
}

/// Whether a path that is below a root by its words is so in truth: what there is of it leads out of the roots by no link. It
/// waits for the disk.
pub(crate) fn leads_below_one(roots: &[PathBuf], path: &Path) -> bool {
    let (ours, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
        roots.iter().partition(|root| path.starts_with(root));
    for part in path.ancestors().take_while(|part| ours.iter().any(|root| part.starts_with(root))) {
        match part.canonicalize() {
            // Other roots may be on disks that do not answer: they are asked if need be.
            Ok(real) => {
                let is_above =
                    |root: &&&PathBuf| root.canonicalize().is_ok_and(|root| real.starts_with(root));
                return ours.iter().chain(&others).any(|root| is_above(&root));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn folders_stay_below_roots() {
        let roots = [PathBuf::from("/srv/media"), PathBuf::from("/data")];
        for good in ["/srv/media", "/srv/media/", "/srv/media/a/b", "/data/x", "/srv//media/x"] {
            assert!(below_a_root(&roots, good).is_ok(), "{good}");
        }
        let long = format!("/data/{}", "x".repeat(MAX_PATH));
        for bad in [
            "",
            "x",
            "./x",
            "/",
            "/srv",
            "/srv/mediax",
            "/srv/media/../x",
            "/srv/media/..",
            "/etc",
            "/data/\0",
            "../data",
            &long,
            "//etc",
            "/srv/media/a/../../..",
        ] {
            assert!(below_a_root(&roots, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_link_leads_out() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for dir in ["root/in", "outside/sub", "other"] {
            std::fs::create_dir_all(at(dir)).unwrap();
        }
        symlink(at("outside"), at("root/out")).unwrap();
        symlink(at("other"), at("root/to-other")).unwrap();
        symlink(at("root"), at("same")).unwrap();
        let roots = [at("root"), at("other"), at("same"), at("not-yet")];
        for good in ["root", "root/in/new/deep", "root/to-other/new", "same/in", "not-yet/new"] {
            assert!(leads_below_one(&roots, &at(good)), "{good}");
        }
        for bad in ["root/out", "root/out/sub", "root/out/new/deep", "same/out/sub"] {
            assert!(!leads_below_one(&roots, &at(bad)), "{bad}");
        }
        assert_eq!(root_of(&roots, &at("root/in/x")), at("root"));
    }
}
