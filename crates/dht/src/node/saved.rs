//! What is kept between two runs: our ids and the nodes that we know, as bencode.

use super::Node;
use crate::NodeId;
use crate::addr::{Contact, Family, may_send, parse_contacts, put_contact};
use crate::limits::MAX_STARTERS;
use crate::table::Status;
use alloc::vec::Vec;
use types::Time;

/// What was saved cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// It is no bencode.
    #[error("the saved DHT table is damaged: {0}")]
    Bencode(#[from] bencode::Error),
    /// It is something else.
    #[error("this is no saved DHT table")]
    NotATable,
}

const KEYS: [(Family, &str, &str); 2] = [(Family::V4, "id", "nodes"), (Family::V6, "id6", "nodes6")];

impl Node {
    /// What a node of the next run is to know: see [`Node::restore`].
    pub fn save(&self, now: Time) -> Vec<u8> {
        bencode::encode_dict(|d| {
            for (family, id_key, nodes_key) in KEYS {
                let Some(own) = self.id(family) else { continue };
                d.bytes(id_key, own.0);
                let mut nodes = Vec::new();
                let known = self.nodes(family, now).filter(|(_, status)| *status != Status::Bad);
                known.for_each(|(contact, _)| put_contact(&mut nodes, &contact));
                d.bytes(nodes_key, nodes);
            }
        })
    }

    /// Takes over what was saved, before anything else happens: our ids, unless our addresses are known, and the nodes,
    /// which get into the tables when they answer.
    ///
    /// # Errors
    /// It is damaged or something else; then nothing is taken over.
    pub fn restore(&mut self, now: Time, saved: &[u8]) -> Result<(), SavedError> {
        let document = bencode::decode(saved)?;
        let root = document.root();
        root.as_dict().ok_or(SavedError::NotATable)?;
        for (family, id_key, nodes_key) in KEYS {
            let bytes = |key| root.get(key).and_then(bencode::Value::as_bytes);
            let Some(side) = self.side_mut(family) else { continue };
            if let Some(id) = bytes(id_key).and_then(NodeId::from_slice)
                && side.external.ip().is_none()
            {
                side.table.set_own(now, id);
            }
            let nodes = parse_contacts(bytes(nodes_key).unwrap_or_default(), family);
            let free = MAX_STARTERS - side.starters.iter().filter(|(id, _)| id.is_some()).count();
            let nodes = nodes.filter(|node| may_send(&node.addr, None)).take(free);
            side.starters.extend(nodes.map(|Contact { id, addr }| (Some(id), addr)));
            side.bootstrap.hasten(now);
        }
        let own = self.families.iter().flatten().next().map(|side| side.table.own());
        if let Some(own) = own {
            self.peers.set_own(own);
            self.items.set_own(own);
        }
        self.next_tick = now;
        Ok(())
    }
}
