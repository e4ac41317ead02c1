//! Where torrents come from: a file, a folder of them, standard input, a URL, a magnet link.

use crate::failure::{Failure, OrFail, kind};
use metainfo::{Magnet, Metainfo};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest .torrent that is read, as the engine's for those it fetches: 2^21 pieces take 40 MiB.
const MAX_TORRENT: u64 = 64 << 20;

/// One SOURCE or TORRENT of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    File(&'a Path),
    Stdin,
    Url(&'a str),
    Magnet(&'a str),
    /// A URL of another scheme than http(s).
    OtherUrl(&'a str),
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Source<'a> {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            _ if text == "-" => Source::Stdin,
            Some("http" | "https") => Source::Url(text),
            Some("magnet") => Source::Magnet(text),
            Some(_) if text.contains("://") => Source::OtherUrl(text),
            _ => Source::File(Path::new(text)),
        }
    }

    /// What people call it in messages.
    fn label(self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "standard input".into(),
            Source::Url(url) | Source::OtherUrl(url) => url.into(),
            Source::Magnet(_) => "magnet link".into(),
        }
    }

    /// The link, if it is one.
    pub(crate) fn magnet(self) -> Result<Option<Magnet>, Failure> {
        let Source::Magnet(link) = self else { return Ok(None) };
        Magnet::parse(link).map(Some).map_err(|error| Failure::new(kind::BAD_MAGNET, error))
    }

    /// Reads and decodes a torrent; `fetch` gets what a URL names.
    pub(crate) async fn load<F, E>(self, fetch: impl FnOnce(&'a str) -> F) -> Result<Metainfo, Failure>
    where
        F: Future<Output = Result<Vec<u8>, E>>,
        E: Into<anyhow::Error>,
    {
        let bytes = match self {
            Source::Url(url) => fetch(url).await.or_fail(kind::SOURCE, format_args!("cannot fetch {url}"))?,
            local => local.read().await?,
        };
        self.decode(&bytes)
    }

    /// Reads what needs no network, on a thread where it may block: standard input may be silent for long.
    pub(crate) async fn read(self) -> Result<Vec<u8>, Failure> {
        let unsupported = |message: String| Err(Failure::new(kind::UNSUPPORTED, message));
        let doing = format!("cannot read {}", self.label());
        let reading = match self {
            Source::File(path) => {
                let path = path.to_owned();
                tokio::task::spawn_blocking(move || read_file(&path))
            }
            Source::Stdin => tokio::task::spawn_blocking(|| read_bounded(io::stdin().lock())),
            Source::Magnet(_) => {
                self.magnet()?;
                return unsupported(
                    "a magnet link names a torrent but does not hold it; give the .torrent file, which \
                     'rawtorrent download --metadata-only -o x.torrent' fetches"
                        .into(),
                );
            }
            Source::Url(url) | Source::OtherUrl(url) => {
                return unsupported(format!(
                    "cannot read {url}: only http:// and https:// URLs are supported"
                ));
            }
        };
        let read = reading.await.or_fail(kind::SOURCE, &doing)?;
        read.or_fail(kind::SOURCE, &doing)
    }

    fn decode(self, bytes: &[u8]) -> Result<Metainfo, Failure> {
        let label = self.label();
        if bytes.is_empty() {
            return Err(Failure::new(kind::BAD_TORRENT, format!("{label} is empty, not a torrent")));
        }
        if bytes.trim_ascii_start().starts_with(b"<") {
            return Err(Failure::new(kind::BAD_TORRENT, format!("{label} is a web page, not a torrent")));
        }
        Metainfo::parse(bytes).or_fail(kind::BAD_TORRENT, format_args!("cannot use {label}"))
    }
}

/// What was given, with the torrents of each folder in the folder's place: its files named `*.torrent`, in the order of
/// their names.
pub(crate) fn unfold(sources: &[String]) -> Result<Vec<String>, Failure> {
    let mut unfolded = Vec::with_capacity(sources.len());
    for source in sources {
        let source = path_of(source).unwrap_or_else(|| source.clone());
        match Source::new(&source) {
            Source::File(folder) if folder.is_dir() => unfolded.extend(torrents_in(folder)?),
            _ => unfolded.push(source),
        }
    }
    Ok(unfolded)
}

/// The path of a `file:` URL of this machine, as desktops give it to programs.
fn path_of(url: &str) -> Option<String> {
    let path = url.strip_prefix("file://")?;
    let path = path.strip_prefix("localhost").unwrap_or(path);
    let mut parts = path.strip_prefix('/')?.split('%');
    let mut bytes = Vec::from(parts.next()?);
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(part.get(2..)?.bytes());
    }
    Some(format!("/{}", String::from_utf8(bytes).ok()?))
}

fn torrents_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let doing = format!("cannot read {}", folder.display());
    let entries: io::Result<Vec<PathBuf>> = folder
        .read_dir()
        .or_fail(kind::SOURCE, &doing)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut torrents = entries.or_fail(kind::SOURCE, &doing)?;
    torrents.retain(|path| path.extension().is_some_and(|extension| extension == "torrent"));
    if torrents.is_empty() {
        return Err(Failure::new(kind::SOURCE, format_args!("{doing}: no file in it is named *.torrent")));
    }
    torrents.sort();
    let named = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|name| {
            Failure::new(kind::SOURCE, format_args!("cannot read {}: its name is not UTF-8", name.display()))
        })
    };
    torrents.into_iter().map(named).collect()
}

pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    must_be_no_folder(&file.metadata()?)?;
    read_bounded(file)
}

/// The same of a regular file alone: what may be silent for ever, such as a pipe, is not read.
pub(crate) fn read_regular_file(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(nonblock).open(path)?;
    let found = file.metadata()?;
    must_be_no_folder(&found)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read_bounded(file)
}

fn must_be_no_folder(found: &Metadata) -> io::Result<()> {
    match found.is_dir() {
        true => Err(io::Error::other("it is a folder, not a .torrent file")),
        false => Ok(()),
    }
}

fn read_bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_TORRENT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TORRENT {
        return Err(io::Error::other("it is larger than 64 MiB, more than any torrent needs"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        for (text, expected) in [
            ("-", Source::Stdin),
            ("a.torrent", Source::File(Path::new("a.torrent"))),
            ("C:a", Source::File(Path::new("C:a"))),
            ("HTTPS://host/a", Source::Url("HTTPS://host/a")),
            ("magnet:?xt=urn:btih:00", Source::Magnet("magnet:?xt=urn:btih:00")),
            ("ftp://host/a", Source::OtherUrl("ftp://host/a")),
        ] {
            assert_eq!(Source::new(text), expected);
        }
    }

    #[test]
    fn files_have_urls() {
        for (url, path) in [
            ("file:///a/b%20c%25.torrent", Some("/a/b c%.torrent")),
            ("file://localhost/%C3%A9", Some("/é")),
            ("file://elsewhere/a", None),
            ("file:///a%2", None),
            ("file:///a%zz", None),
            ("file:///%ff", None),
            ("http://host/a", None),
        ] {
            assert_eq!(path_of(url).as_deref(), path, "{url}");
        }
    }

    #[test]
    fn reading_is_bounded() {
        assert_eq!(read_bounded(&b"abc"[..]).unwrap(), b"abc");
        assert!(read_bounded(io::repeat(0)).unwrap_err().to_string().contains("64 MiB"));
        assert_eq!(read_bounded(io::repeat(0).take(MAX_TORRENT)).unwrap().len() as u64, MAX_TORRENT);
    }

    #[test]
    fn only_regular_files_are_read_where_others_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        std::fs::write(path("file"), b"abc").unwrap();
        assert_eq!(read_regular_file(&path("file")).unwrap(), b"abc");
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for other in [path("pipe"), "/dev/zero".into()] {
            let refused = read_regular_file(&other).unwrap_err().to_string();
            assert_eq!(refused, "it is not a regular file");
        }
        assert!(read_regular_file(dir.path()).unwrap_err().to_string().contains("is a folder"));
    }

    #[test]
    fn a_folder_stands_for_its_torrents() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap().to_owned();
        let given = ["-".to_owned(), folder.clone(), "x.torrent".into()];
        assert!(unfold(&given).unwrap_err().message.ends_with("no file in it is named *.torrent"));
        for name in ["b.torrent", "a.torrent", "torrent", "c.txt"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let inside = |name| format!("{folder}/{name}");
        let expected = ["-".into(), inside("a.torrent"), inside("b.torrent"), "x.torrent".into()];
        assert_eq!(unfold(&given).unwrap(), expected);
    }

    #[test]
    fn what_is_no_torrent_is_said() {
        let said = |bytes: &[u8]| Source::Stdin.decode(bytes).unwrap_err().message;
        assert_eq!(said(b""), "standard input is empty, not a torrent");
        assert_eq!(said(b"\n <!doctype html>"), "standard input is a web page, not a torrent");
        assert!(said(b"hello").starts_with("cannot use standard input: not a torrent file"));
    }
}
