//! The extension protocol (BEP 10) and the extensions that are spoken over it.
//!
//! An [`Extended`](crate::Message::Extended) message with id 0 carries a [`Handshake`], in which a peer says which
//! number it wants each extension's messages to have. The other modules read and write those messages.

mod handshake;

pub use handshake::Handshake;

/// The name of metadata exchange (BEP 9).
pub const UT_METADATA: &str = "ut_metadata";
/// The name of peer exchange (BEP 11).
pub const UT_PEX: &str = "ut_pex";
/// The name of "I no longer have this piece" (BEP 54).
pub const LT_DONTHAVE: &str = "lt_donthave";
/// The name of hole punching (BEP 55).
pub const UT_HOLEPUNCH: &str = "ut_holepunch";
