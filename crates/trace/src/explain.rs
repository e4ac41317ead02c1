//! What messages and queries of the DHT are for, a sentence each: the one place where such texts stand.

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What its BEP calls it: [`Said::name`](crate::Said::name), or `handshake`.
    pub name: &'static str,
    /// What its sender says with it.
    pub says: &'static str,
    /// Where it stands.
    pub bep: u8,
}

impl Explained {
    /// Whether somebody who writes that means this: in capitals or not, with spaces, hyphens, underscores or none of them,
    /// without an apostrophe, or as the extension is called that it belongs to.
    pub fn is_called(&self, written: &str) -> bool {
        let is = |name: &str| signs(name).eq(signs(written));
        is(self.name) || EXTENSIONS.iter().any(|(extension, name)| *name == self.name && is(extension))
    }
}

/// What of a name tells it from others.
fn signs(name: &str) -> impl Iterator<Item = char> {
    let told = name.chars().filter(|c| !matches!(c, ' ' | '-' | '_' | '\'' | '’'));
    told.map(|c| c.to_ascii_lowercase())
}

/// What extensions are called, each with its message.
const EXTENSIONS: [(&str, &str); 4] = [
    ("ut_metadata", "metadata"),
    ("ut_pex", "pex"),
    ("lt_donthave", "don't have"),
    ("ut_holepunch", "holepunch"),
];

const fn told(name: &'static str, bep: u8, says: &'static str) -> Explained {
    Explained { name, says, bep }
}

/// Every kind of message.
pub const MESSAGES: [Explained; 25] = [
    told("keep-alive", 3, "I have nothing to say, but am still here"),
    told("choke", 3, "I answer no requests for now"),
    told("unchoke", 3, "I answer your requests from now on, until I choke you"),
    told("interested", 3, "you have something that I want"),
    told("not interested", 3, "you have nothing more that I want"),
    told("have", 3, "I have one more piece, ask me for it"),
    told("bitfield", 3, "what I have, one bit per piece"),
    told("request", 3, "send me this block of a piece"),
    told("piece", 3, "here are the bytes of that block"),
    told("cancel", 3, "I do not need that block any more"),
    told("port", 5, "my DHT node listens at this UDP port"),
    told("suggest piece", 6, "ask me for this piece, it costs me little"),
    told("have all", 6, "I have every piece; short for a bitfield of ones"),
    told("have none", 6, "I have no piece yet; short for a bitfield of zeros"),
    told("reject request", 6, "I will not answer that request"),
    told("allowed fast", 6, "ask me for this piece even while I choke you"),
    told("extended", 10, "the extensions that I know, how many requests I hold"),
    told("metadata", 9, "the torrent file itself, in pieces, for who has a magnet link only"),
    told("pex", 11, "peers that I am connected to, and those that left"),
    told("don't have", 54, "I no longer have a piece that I had"),
    told("holepunch", 55, "help two peers behind NATs to reach each other"),
    told("hash request", 52, "send me these hashes of a file's Merkle tree"),
    told("hashes", 52, "here are hashes, with the uncles that prove them"),
    told("hash reject", 52, "I will not send those hashes"),
    HANDSHAKE,
];

const HANDSHAKE: Explained = told("handshake", 3, "I speak BitTorrent, and mean this info hash");

/// Every query of the DHT that is known.
pub const QUERIES: [Explained; 7] = [
    told("ping", 5, "are you there?"),
    told("find_node", 5, "which nodes do you know that are near this id?"),
    told("get_peers", 5, "who has this torrent? and which nodes do you know that are nearer to it?"),
    told("announce_peer", 5, "list me among those who have this torrent"),
    told("get", 44, "which item is kept under this name?"),
    told("put", 44, "keep this item"),
    told("sample_infohashes", 51, "of which torrents do you know peers? name some"),
];

/// What a query of the DHT is for.
pub fn query(name: &str) -> Option<&'static Explained> {
    QUERIES.iter().find(|told| told.name == name)
}

/// What a message is for; `handshake` is one.
pub fn message(name: &str) -> Option<&'static Explained> {
    MESSAGES.iter().find(|told| told.name == name)
}

/// What a message or a query of the DHT is for, [however it is written](Explained::is_called).
pub fn find(written: &str) -> Option<&'static Explained> {
    MESSAGES.iter().chain(&QUERIES).find(|told| told.is_called(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Ext, Hashes, Said};
    use alloc::vec;

    #[test]
    fn what_is_meant_is_found_however_it_is_written() {
        for (written, name) in [
            ("dont-have", "don't have"),
            ("don’t have", "don't have"),
            ("lt_donthave", "don't have"),
            ("ut_pex", "pex"),
            ("ut-metadata", "metadata"),
            ("UT_HOLEPUNCH", "holepunch"),
            ("Have_All", "have all"),
            ("keepalive", "keep-alive"),
            ("get_peers", "get_peers"),
            ("get peers", "get_peers"),
        ] {
            assert_eq!(find(written).unwrap().name, name, "{written}");
        }
        for told in MESSAGES.iter().chain(&QUERIES) {
            assert_eq!(find(told.name), Some(told));
        }
        for (extension, name) in EXTENSIONS {
            assert!(message(name).is_some(), "{extension}");
        }
        for wrong in ["", "'", "haves", "ut_request", "bitmap"] {
            assert_eq!(find(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_message_is_explained() {
        let block = Block { piece: 0, offset: 0, length: 1 };
        let range = Hashes { pieces_root: [0; 32], base_layer: 0, index: 0, length: 1, proof_layers: 0 };
        let extended = |says| Said::Extended { id: 1, payload: vec![], left_out: 0, says };
        let said = [
            Said::KeepAlive,
            Said::Choke,
            Said::Unchoke,
            Said::Interested,
            Said::NotInterested,
            Said::HaveAll,
            Said::HaveNone,
            Said::Have { piece: 0 },
            Said::SuggestPiece { piece: 0 },
            Said::AllowedFast { piece: Some(0) },
            Said::Bitfield { pieces: 0, bits: vec![] },
            Said::Request(block),
            Said::Piece(block),
            Said::Cancel(block),
            Said::RejectRequest(block),
            Said::Port { port: 1 },
            Said::HashRequest(range),
            Said::HashReject(range),
            Said::Hashes { range, hashes: vec![] },
            extended(Ext::Unknown),
            extended(Ext::MetadataRequest { piece: 0 }),
            extended(Ext::Pex { added: 0, dropped: 0, addrs: vec![] }),
            extended(Ext::DontHave { piece: 0 }),
            extended(Ext::Holepunch { what: "connect".into(), with: None }),
        ];
        for message in &said {
            assert!(super::message(message.name()).is_some(), "{message}");
        }
        assert_eq!(said.len() + 1, MESSAGES.len(), "one for each, and the handshake");
        assert_eq!(message("handshake").unwrap().bep, 3);
    }
}
