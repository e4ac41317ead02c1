//! What can be wrong with a torrent file.

use crate::MAX_PIECE_LENGTH;
use alloc::string::String;
use bencode::{ErrorKind, Kind};
use types::LengthsError;

/// Why a file is not a torrent that can be used. The text is for people and names the culprit.
///
/// A `key` is the way to a value from the top of the file, such as `info.files[3].length`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file ends too early.
    #[error("the torrent file is cut short after {0} bytes")]
    Truncated(usize),
    /// The file is larger than [`Limits::max_input`](crate::Limits::max_input).
    #[error("the torrent file is larger than the {0} bytes that are supported")]
    TooLarge(usize),
    /// The file is not bencode, or nests too deeply, or holds too many values.
    #[error("not a torrent file: {0}")]
    Bencode(bencode::Error),
    /// The file is bencode, but not a dictionary.
    #[error("not a torrent file: it holds {0}, not a dictionary")]
    NotADict(Kind),
    /// Something that a torrent cannot be without.
    #[error("`{key}` is missing")]
    Missing {
        /// What is missing.
        key: String,
    },
    /// A value of another type than BEP 3, 47 or 52 say.
    #[error("`{key}` is {found}, not {expected}")]
    WrongType {
        /// Whose type is wrong.
        key: String,
        /// What it should be.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
    /// A size below zero.
    #[error("`{key}` is negative ({value})")]
    Negative {
        /// Whose value it is.
        key: String,
        /// The value.
        value: i64,
    },
    /// A v1 piece length of less than 1 or more than [`MAX_PIECE_LENGTH`] bytes.
    #[error("the piece length is {0}, not between 1 and {MAX_PIECE_LENGTH} bytes")]
    PieceLength(i64),
    /// A v2 piece length that is not a power of two of at least 16 KiB (BEP 52).
    #[error("the piece length is {0}, but a v2 torrent needs a power of two of at least 16384 bytes")]
    PieceLengthV2(u32),
    /// No bytes at all, or too many pieces.
    #[error(transparent)]
    Lengths(#[from] LengthsError),
    /// The sizes of the files add up to more than 64 bits can hold.
    #[error("the sizes of the files add up to more than 2^64 bytes")]
    SizeOverflow,
    /// `pieces` does not consist of SHA-1 hashes.
    #[error("`info.pieces` has {0} bytes, which is not a multiple of 20")]
    PiecesNotMultipleOf20(usize),
    /// More or fewer hashes than the files' sizes ask for.
    #[error("`info.pieces` holds {found} hashes, but the files make {expected} pieces")]
    PieceCount {
        /// How many pieces the sizes make.
        expected: u32,
        /// How many hashes there are.
        found: usize,
    },
    /// A name without a single character that can be shown.
    #[error("`info.name` holds nothing but control characters")]
    UnreadableName,
    /// A list of files without a file.
    #[error("the torrent has no files")]
    NoFiles,
    /// A file with an empty path or, in a v2 torrent, a path element.
    #[error("`{key}` is empty")]
    EmptyPath {
        /// Whose path it is.
        key: String,
    },
    /// Folders nested more deeply than [`Limits::max_path_depth`](crate::Limits::max_path_depth).
    #[error("`{key}` has more than the {limit} levels that are supported")]
    PathTooDeep {
        /// Whose path it is.
        key: String,
        /// The most levels.
        limit: usize,
    },
    /// Paths of more than [`Limits::max_path_bytes`](crate::Limits::max_path_bytes) together.
    #[error("the paths of the files are longer than the {0} bytes that are supported")]
    PathsTooLong(usize),
    /// More than [`Limits::max_collisions`](crate::Limits::max_collisions) new names that were taken as well.
    #[error("too many files have the name of another: more than {0} other names were taken as well")]
    TooManyDuplicates(usize),
    /// A version that is not known.
    #[error("`info.meta version` is {0}; versions 1 and 2 are supported")]
    UnknownVersion(i64),
    /// A v2 info dictionary has to be encoded canonically (BEP 52).
    #[error("the v2 info dictionary is not canonical: {0}")]
    NotCanonical(bencode::Error),
    /// A pad file in a v2 file tree, where files are aligned without them.
    #[error("`{key}` is a pad file, which a v2 torrent cannot have")]
    PadInTree {
        /// Which file it is.
        key: String,
    },
    /// A v2 file's Merkle root is not 32 bytes, or is zero.
    #[error("`{key}` is not a hash")]
    PiecesRoot {
        /// Whose root it is.
        key: String,
    },
    /// `piece layers` holds something that does not belong to a file with more than one piece.
    #[error("`piece layers` has an entry that belongs to none of the files")]
    UnknownPieceLayer,
    /// A piece layer has the wrong size, or its Merkle root is not that of its file.
    #[error("`piece layers` has hashes that do not add up to the root of {path}")]
    PieceLayer {
        /// Whose hashes they are.
        path: String,
    },
    /// A hybrid's v1 and v2 halves speak of different files.
    #[error("the v1 and v2 halves of the torrent disagree about {what}")]
    Inconsistent {
        /// The first difference.
        what: String,
    },
}

impl From<bencode::Error> for Error {
    fn from(error: bencode::Error) -> Error {
        match error.kind {
            ErrorKind::UnexpectedEnd if error.at > 0 => Error::Truncated(error.at),
            ErrorKind::InputTooLong => Error::TooLarge(error.at),
            _ => Error::Bencode(error),
        }
    }
}
