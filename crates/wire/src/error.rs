//! What can be wrong with the bytes of a peer.

use alloc::format;
use alloc::string::String;

/// Why bytes are not what the protocol allows. The connection that they came from is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A handshake that does not begin with the protocol string (BEP 3).
    #[error("not a plain BitTorrent handshake: byte {at} is {byte:#04x} (encrypted, or another protocol)")]
    NotBitTorrent {
        /// The first byte that is wrong, counted from 0.
        at: usize,
        /// What it is.
        byte: u8,
    },
    /// A length prefix above every limit.
    #[error("message of {len} bytes where at most {max} are accepted")]
    TooLong {
        /// The length prefix.
        len: u32,
        /// The longest that is accepted.
        max: u32,
    },
    /// A message whose length its kind or the limits do not allow.
    #[error("{name} message of {len} bytes where {}", due(*.min, *.max))]
    WrongLength {
        /// The kind of message, as [`Message::name`](crate::Message::name).
        name: &'static str,
        /// The bytes after the message id.
        len: u32,
        /// The fewest there may be.
        min: u32,
        /// The most there may be.
        max: u32,
    },
    /// A `hashes` message that does not end with a whole hash (BEP 52).
    #[error("hashes message with {len} bytes of hashes, which is not a multiple of 32")]
    PartialHash {
        /// The bytes after the message's fixed part.
        len: u32,
    },
    /// A message id that no BEP gives a meaning to.
    #[error("message with the unknown id {id}")]
    UnknownId {
        /// The id.
        id: u8,
    },
    /// The payload of an extended message (BEP 10) that should be bencoded and is not.
    #[error("{name} message: {error}")]
    Bencode {
        /// The extension's name.
        name: &'static str,
        /// What is wrong with the bencoding.
        error: bencode::Error,
    },
    /// The payload of an extended message (BEP 10) that does not say what it must.
    #[error("{name} message: {what}")]
    Extension {
        /// The extension's name.
        name: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

/// "12 are due", "at most 13 are allowed", "8 to 131080 are allowed"
fn due(min: u32, max: u32) -> String {
    match min {
        _ if min == max => format!("{min} are due"),
        0 => format!("at most {max} are allowed"),
        _ => format!("{min} to {max} are allowed"),
    }
}
