//! New torrents (v1).

use crate::Metainfo;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bencode::{DictEncoder, ListEncoder};
use types::{Lengths, LengthsError};

/// The shortest piece that [`piece_length_for`] chooses: one block.
pub const MIN_PIECE_LENGTH: u32 = 16 * 1024;

/// The longest piece that [`piece_length_for`] chooses: larger ones make peers wait, and some clients refuse them.
pub const MAX_PIECE_LENGTH: u32 = 16 * 1024 * 1024;

/// The most pieces that [`piece_length_for`] makes while its pieces can grow.
pub const TARGET_PIECES: u64 = 2048;

/// The piece length in bytes for a torrent of `total` bytes: the smallest power of two between
/// [`MIN_PIECE_LENGTH`] and [`MAX_PIECE_LENGTH`] that makes at most [`TARGET_PIECES`] pieces.
///
/// So there are between 1,025 and 2,048 pieces from 16 MiB to 32 GiB: small enough to be shared soon and checked
/// often, few enough for a torrent file of about 40 KiB at most. Above that, pieces stay at 16 MiB and grow in number.
pub fn piece_length_for(total: u64) -> u32 {
    let mut length = MIN_PIECE_LENGTH;
    while length < MAX_PIECE_LENGTH && total.div_ceil(u64::from(length)) > TARGET_PIECES {
        length *= 2;
    }
    length
}

/// Why a torrent cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that everybody would have to change before writing a file: with a separator in it, too long, ...
    #[error("{} cannot be in a torrent: it would become {safe}; rename it first", shown(given))]
    UnsafeName {
        /// The path as it was given.
        given: String,
        /// The path as it would be read.
        safe: String,
    },
    /// The files and hashes do not make a torrent.
    #[error(transparent)]
    Invalid(#[from] crate::Error),
}

/// A v1 torrent in the making.
///
/// The same input makes the same bytes: nothing is added that was not given.
///
/// ```
/// use metainfo::create::Builder;
/// let builder = Builder::file("a.txt", 5).tracker("http://127.0.0.1:6969/announce");
/// assert_eq!(builder.lengths()?.piece_count(), 1);
/// let torrent = builder.pieces(vec![0; 20]).build()?;
/// assert_eq!(metainfo::Metainfo::parse(&torrent)?.name(), "a.txt");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    content: Content,
    piece_length: u32,
    pieces: Vec<u8>,
    is_private: bool,
    tiers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
}

#[derive(Clone, Debug)]
enum Content {
    File(u64),
    /// Path below the torrent's own folder, and size.
    Folder(Vec<(Vec<String>, u64)>),
}

impl Content {
    fn total(&self) -> u64 {
        match self {
            Content::File(length) => *length,
            Content::Folder(files) => files.iter().fold(0, |total, (_, length)| length.saturating_add(total)),
        }
    }
}

impl Builder {
    /// A torrent of one file of `length` bytes.
    pub fn file(name: &str, length: u64) -> Builder {
        Builder::new(name, Content::File(length))
    }

    /// A torrent of a folder of files, each a path below the folder and a size in bytes, in the order of the torrent.
    pub fn folder(name: &str, files: Vec<(Vec<String>, u64)>) -> Builder {
        Builder::new(name, Content::Folder(files))
    }

    fn new(name: &str, content: Content) -> Builder {
        Builder {
            name: name.to_owned(),
            piece_length: piece_length_for(content.total()),
            content,
            pieces: Vec::new(),
            is_private: false,
            tiers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        }
    }

    /// The length of a piece in bytes, instead of what [`piece_length_for`] says.
    pub fn piece_length(mut self, bytes: u32) -> Builder {
        self.piece_length = bytes;
        self
    }

    /// The SHA-1 of each piece, one after the other: 20 bytes for each piece of [`Builder::lengths`].
    pub fn pieces(mut self, hashes: Vec<u8>) -> Builder {
        self.pieces = hashes;
        self
    }

    /// Adds a tracker in a tier of its own, below those that were added before (BEP 12).
    pub fn tracker(self, url: &str) -> Builder {
        self.tier(vec![url.to_owned()])
    }

    /// Adds a tier of trackers below those that were added before (BEP 12).
    pub fn tier(mut self, urls: Vec<String>) -> Builder {
        self.tiers.push(urls);
        self
    }

    /// Whether peers may come from the trackers only (BEP 27).
    pub fn private(mut self, is_private: bool) -> Builder {
        self.is_private = is_private;
        self
    }

    /// Adds a web seed (BEP 19).
    pub fn web_seed(mut self, url: &str) -> Builder {
        self.web_seeds.push(url.to_owned());
        self
    }

    /// Something to say.
    pub fn comment(mut self, comment: &str) -> Builder {
        self.comment = Some(comment.to_owned());
        self
    }

    /// The program that makes the torrent.
    pub fn created_by(mut self, program: &str) -> Builder {
        self.created_by = Some(program.to_owned());
        self
    }

    /// When the torrent is made, in seconds since 1970.
    pub fn creation_date(mut self, seconds: i64) -> Builder {
        self.creation_date = Some(seconds);
        self
    }

    /// How the files divide into pieces: what there is to hash.
    ///
    /// # Errors
    /// No bytes, a piece length of 0, or too many pieces.
    pub fn lengths(&self) -> Result<Lengths, LengthsError> {
        Lengths::new(self.content.total(), self.piece_length)
    }

    /// The bytes of the torrent file.
    ///
    /// # Errors
    /// Whatever would be refused or changed by [`Metainfo::parse`]: sizes and hashes that do not fit, unsafe names,
    /// two files of one name.
    pub fn build(&self) -> Result<Vec<u8>, Error> {
        let torrent = bencode::encode_dict(|d| self.encode(d));
        let read = Metainfo::parse(&torrent)?;
        for (given, file) in self.paths().zip(read.files()) {
            if given != file.path.as_str() {
                return Err(Error::UnsafeName { given, safe: file.path.to_string() });
            }
        }
        Ok(torrent)
    }

    fn paths(&self) -> impl Iterator<Item = String> {
        let files = match &self.content {
            Content::File(_) => None,
            Content::Folder(files) => {
                Some(files.iter().map(|(path, _)| format!("{}/{}", self.name, path.join("/"))))
            }
        };
        let single = files.is_none().then(|| self.name.clone());
        files.into_iter().flatten().chain(single)
    }

    fn encode(&self, d: &mut DictEncoder<'_>) {
        let urls = |l: &mut ListEncoder<'_>, urls: &[String]| urls.iter().for_each(|url| l.bytes(url));
        if let Some(first) = self.tiers.iter().flatten().next() {
            d.bytes("announce", first);
        }
        if self.tiers.iter().flatten().count() > 1 {
            d.list("announce-list", |l| self.tiers.iter().for_each(|tier| l.list(|l| urls(l, tier))));
        }
        if let Some(comment) = &self.comment {
            d.bytes("comment", comment);
        }
        if let Some(program) = &self.created_by {
            d.bytes("created by", program);
        }
        if let Some(seconds) = self.creation_date {
            d.int("creation date", seconds);
        }
        d.dict("info", |d| self.encode_info(d));
        match self.web_seeds.as_slice() {
            [] => {}
            [url] => d.bytes("url-list", url),
            several => d.list("url-list", |l| urls(l, several)),
        }
    }

    fn encode_info(&self, d: &mut DictEncoder<'_>) {
        match &self.content {
            Content::File(length) => d.int("length", int(*length)),
            Content::Folder(files) => d.list("files", |l| {
                for (path, length) in files {
                    l.dict(|d| {
                        d.int("length", int(*length));
                        d.list("path", |l| path.iter().for_each(|element| l.bytes(element)));
                    });
                }
            }),
        }
        d.bytes("name", &self.name);
        d.int("piece length", self.piece_length);
        d.bytes("pieces", &self.pieces);
        if self.is_private {
            d.int("private", 1);
        }
    }
}

/// The text on one line: names of files may have any characters.
fn shown(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// A size as bencode has it; one that is too large becomes one that [`Lengths`] refuses.
fn int(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_up_to_a_length() {
        let full = TARGET_PIECES * u64::from(MAX_PIECE_LENGTH);
        assert_eq!(piece_length_for(full / 2), MAX_PIECE_LENGTH / 2);
        assert_eq!(piece_length_for(full), MAX_PIECE_LENGTH);
        assert_eq!(piece_length_for(full + 1), MAX_PIECE_LENGTH);
    }
}
