//! The byte that tells messages apart.

/// The kinds of messages that have an id (BEP 3, 6, 10, 52); a keep-alive has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Id {
    Choke = 0,
    Unchoke = 1,
    Interested = 2,
    NotInterested = 3,
    Have = 4,
    Bitfield = 5,
    Request = 6,
    Piece = 7,
    Cancel = 8,
    Port = 9,
    Suggest = 0x0d,
    HaveAll = 0x0e,
    HaveNone = 0x0f,
    Reject = 0x10,
    AllowedFast = 0x11,
    Extended = 20,
    HashRequest = 21,
    Hashes = 22,
    HashReject = 23,
}

impl Id {
    /// The kind of message that `byte` stands for.
    pub(crate) const fn from_byte(byte: u8) -> Option<Id> {
        Some(match byte {
            0 => Id::Choke,
            1 => Id::Unchoke,
            2 => Id::Interested,
            3 => Id::NotInterested,
            4 => Id::Have,
            5 => Id::Bitfield,
            6 => Id::Request,
            7 => Id::Piece,
            8 => Id::Cancel,
            9 => Id::Port,
            0x0d => Id::Suggest,
            0x0e => Id::HaveAll,
            0x0f => Id::HaveNone,
            0x10 => Id::Reject,
            0x11 => Id::AllowedFast,
            20 => Id::Extended,
            21 => Id::HashRequest,
            22 => Id::Hashes,
            23 => Id::HashReject,
            _ => return None,
        })
    }

    /// What its BEP calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Id::Choke => "choke",
            Id::Unchoke => "unchoke",
            Id::Interested => "interested",
            Id::NotInterested => "not interested",
            Id::Have => "have",
            Id::Bitfield => "bitfield",
            Id::Request => "request",
            Id::Piece => "piece",
            Id::Cancel => "cancel",
            Id::Port => "port",
            Id::Suggest => "suggest piece",
            Id::HaveAll => "have all",
            Id::HaveNone => "have none",
            Id::Reject => "reject request",
            Id::AllowedFast => "allowed fast",
            Id::Extended => "extended",
            Id::HashRequest => "hash request",
            Id::Hashes => "hashes",
            Id::HashReject => "hash reject",
        }
    }
}
