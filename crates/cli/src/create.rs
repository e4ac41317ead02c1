//! `create`: a v1 torrent of a file or a folder.

use crate::args::{Create, is_dash};
use crate::console::Console;
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::interrupt;
use crate::progress::Hashing;
use crate::text::{counted, printable};
use crate::units::Size;
use engine::create::{CreateError, CreateTorrent, Created};
use metainfo::Metainfo;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The variable of reproducible-builds.org that stands in for the clock.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// What torrents say that they were created by.
const PROGRAM: &str = concat!("rawtorrent ", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(args: &Create, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let path = resolved(&args.path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let output = Output::choose(args.output.as_deref(), Some(&path), &name)?;
    if args.private && args.announce.is_empty() {
        console.note("a private torrent without a tracker (-a URL): nobody will find it");
    }
    let hashing = Hashing::new(console, &format!("hashing {name}"));
    let made =
        recipe(args, &path)?.make(|done, total| hashing.at(done, total)).map_err(|e| failure(&e, &path))?;
    drop(hashing);
    for link in &made.skipped_links {
        console.note(format_args!("left out, a symbolic link: {}", printable(&link.display().to_string())));
    }
    output.write(&made.bytes, console)?;
    console.note(summary(&made, &output)?);
    Ok(Exit::Done)
}

/// Why there is no torrent, as a failure of the command.
pub(crate) fn failure(error: &CreateError, path: &Path) -> Failure {
    match error {
        CreateError::Disk(error) => Failure::new(error.kind(), error),
        error => {
            Failure::new(kind::STORAGE, format_args!("cannot make a torrent of {}: {error}", path.display()))
        }
    }
}

/// A path such as `.` or `..` has a name only once it is resolved.
fn resolved(path: &Path) -> Result<PathBuf, Failure> {
    match path.file_name() {
        Some(_) => Ok(path.to_owned()),
        None => fs::canonicalize(path).or_fail(kind::STORAGE, format_args!("cannot read {}", path.display())),
    }
}

fn recipe(args: &Create, path: &Path) -> Result<CreateTorrent, Failure> {
    let date = creation_date(std::env::var_os(SOURCE_DATE_EPOCH).as_deref())?;
    let mut recipe = CreateTorrent::new(path).private(args.private).created_by(PROGRAM).creation_date(date);
    recipe = args.announce.iter().fold(recipe, CreateTorrent::tracker);
    recipe = args.web_seed.iter().fold(recipe, CreateTorrent::web_seed);
    if let Some(bytes) = args.piece_length {
        recipe = recipe.piece_length(bytes);
    }
    if let Some(comment) = &args.comment {
        recipe = recipe.comment(comment);
    }
    Ok(recipe)
}

/// Now, unless the build says otherwise.
fn creation_date(source_date_epoch: Option<&std::ffi::OsStr>) -> Result<i64, Failure> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs().try_into().ok();
    match source_date_epoch {
        None => now().ok_or_else(|| Failure::new(kind::STARTUP, "the clock is not set")),
        Some(text) => text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Failure::new(
                kind::STARTUP,
                format_args!("{SOURCE_DATE_EPOCH} is {text:?}, not a number of seconds"),
            )
        }),
    }
}

/// Where the torrent goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    /// A file that is not there, or that may be replaced.
    Replace(PathBuf),
    /// A device or pipe, which is written to as it is.
    Into(PathBuf),
}

impl Output {
    /// Decides before the hashing, which may take long. As compilers do, an older output is replaced; anything that
    /// is not a torrent, and the content itself, is left alone.
    pub(crate) fn choose(
        given: Option<&Path>,
        content: Option<&Path>,
        name: &str,
    ) -> Result<Output, Failure> {
        let refuse = |message: String| Err(Failure::new(kind::OUTPUT, message));
        if given.is_some_and(is_dash) {
            return match io::stdout().is_terminal() {
                true => refuse("a torrent is not text for a terminal; redirect it, or give -o FILE".into()),
                false => Ok(Output::Stdout),
            };
        }
        let path = given.map_or_else(|| PathBuf::from(format!("{name}.torrent")), Path::to_owned);
        let shown = path.display();
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder).or_fail(kind::OUTPUT, format_args!("cannot write {shown}"))?;
        let target = match fs::metadata(&path) {
            Err(_) => path.file_name().map(|name| folder.join(name)),
            Ok(found) if found.is_dir() => None,
            Ok(found) if !found.is_file() => return Ok(Output::Into(path)),
            Ok(_) => {
                Some(fs::canonicalize(&path).or_fail(kind::OUTPUT, format_args!("cannot write {shown}"))?)
            }
        };
        let Some(target) = target else {
            return refuse(format!("{shown} is a folder; give the name of a file with -o"));
        };
        if let Some(content) = content {
            let content = fs::canonicalize(content)
                .or_fail(kind::STORAGE, format_args!("cannot read {}", content.display()))?;
            if target.starts_with(&content) {
                return refuse(format!(
                    "{shown} would be part of what is shared; give another place with -o"
                ));
            }
        }
        match fs::read(&target) {
            Ok(bytes) if !bytes.is_empty() && Metainfo::parse(&bytes).is_err() => refuse(format!(
                "{shown} exists and is not a torrent; move it away, or give another name with -o"
            )),
            _ => Ok(Output::Replace(target)),
        }
    }

    pub(crate) fn write(&self, torrent: &[u8], console: &Console) -> Result<(), Failure> {
        match self {
            Output::Stdout => console.print(torrent),
            Output::Into(path) => fs::write(path, torrent)
                .or_fail(kind::OUTPUT, format_args!("cannot write {}", path.display())),
            Output::Replace(path) => {
                replace(path, torrent).or_fail(kind::OUTPUT, format_args!("cannot write {}", path.display()))
            }
        }
    }
}

/// What people call it.
impl Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Stdout => f.write_str("standard output"),
            Output::Replace(path) | Output::Into(path) => path.display().fmt(f),
        }
    }
}

/// Puts a file in its place whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let write = || {
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    })
}

/// What was made, read from what was made.
fn summary(made: &Created, output: &Output) -> Result<String, Failure> {
    let torrent =
        Metainfo::parse(&made.bytes).or_fail(kind::BAD_TORRENT, "cannot read what was just made")?;
    let place = output.to_string();
    let place = printable(&place);
    let (files, pieces) = (counted(made.files as u64, "file"), torrent.lengths().piece_count());
    let (size, pieces, piece) =
        (Size(made.total), counted(pieces.into(), "piece"), Size(made.piece_length.into()));
    Ok(format!("{place}: {files}, {size}, {pieces} of {piece}, info hash {}", torrent.info_hash()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn the_date_can_be_set() {
        assert_eq!(creation_date(Some(OsStr::new("1700000000"))).unwrap(), 1_700_000_000);
        assert!(creation_date(None).unwrap() > 1_700_000_000);
        let error = creation_date(Some(OsStr::new("yesterday"))).unwrap_err();
        assert_eq!(error.message, "SOURCE_DATE_EPOCH is \"yesterday\", not a number of seconds");
    }

    #[test]
    fn only_torrents_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("content")).unwrap();
        fs::write(path("content/a"), "x").unwrap();
        fs::write(path("photo.jpg"), "not a torrent").unwrap();
        fs::write(path("empty"), "").unwrap();
        let choose = |output: &str| Output::choose(Some(&path(output)), Some(&path("content")), "content");
        let said = |output: &str| choose(output).unwrap_err().message;
        let root = fs::canonicalize(dir.path()).unwrap();

        assert_eq!(choose("new.torrent").unwrap(), Output::Replace(root.join("new.torrent")));
        assert_eq!(choose("empty").unwrap(), Output::Replace(root.join("empty")));
        assert_eq!(choose("/dev/null").unwrap(), Output::Into("/dev/null".into()));
        assert!(said("photo.jpg").contains("is not a torrent"));
        assert!(said("content").contains("is a folder"));
        assert!(said("content/a").contains("part of what is shared"));
        assert!(said("content/new.torrent").contains("part of what is shared"));
        assert!(said("nowhere/new.torrent").contains("No such file or directory"));
    }

    #[test]
    fn replacing_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.torrent");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::create_dir(dir.path().join("b")).unwrap();
        assert!(replace(&dir.path().join("b"), b"three").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
