//! The peer wire protocol: bytes to messages and back (BEP 3, 6, 9, 10, 11, 52, 54, 55).
//!
//! Everything here is a pure function: [`decode`] looks at the start of a receive buffer and answers with one
//! message that borrows from it, [`Message::encode`] appends one to a send buffer, and nothing is remembered in
//! between. What a message *means* (whether its piece exists, whether it was asked for) is the swarm's business;
//! this crate decides only what the bytes alone decide, and refuses a message as soon as the bytes that doom it are
//! there: a length prefix before its body, a handshake at its first wrong byte.
//!
//! ```
//! use wire::{Decoded, Limits, Message, decode};
//!
//! let mut bytes = Vec::new();
//! Message::Have(7).encode(&mut bytes);
//! let limits = Limits::for_pieces(100);
//! let Decoded::Message { message, consumed } = decode(&bytes, &limits)? else { unreachable!() };
//! assert_eq!((message, consumed), (Message::Have(7), 9));
//! assert_eq!(decode(&bytes[..6], &limits)?, Decoded::Incomplete { need_at_least: 9 });
//! # Ok::<(), wire::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod client;
mod decode;
mod error;
pub mod ext;
pub mod handshake;
mod id;
mod limits;
mod message;
mod reserved;

pub use decode::{Decoded, decode};
pub use error::Error;
pub use handshake::Handshake;
pub use limits::{
    Limits, MAX_BLOCK_LEN, MAX_CLIENT_NAME_LEN, MAX_EXTENSION_DEPTH, MAX_EXTENSION_NAME_LEN,
    MAX_EXTENSION_VALUES, MAX_EXTENSIONS, MAX_HASHES, MAX_MESSAGE_LEN, MAX_PEX_PEERS,
    MAX_UNKNOWN_EXTENDED_LEN,
};
pub use message::{HashRange, Message, Request, encode_piece_header};
pub use reserved::Reserved;
