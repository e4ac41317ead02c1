//! The items that others stored here (BEP 44).

use crate::NodeId;
use crate::hosts::Hosts;
use crate::item::{self, ItemError};
use crate::krpc::{Put, Signed, code};
use crate::limits::{ITEM_LIFETIME, MAX_ITEMS, MAX_ITEMS_PER_HOST};
use crate::nearest::Nearest;
use alloc::vec::Vec;
use core::net::SocketAddr;
use types::Time;

#[derive(Debug)]
pub(crate) struct Items {
    items: Nearest<Item>,
    /// How many items each host was the first to store.
    hosts: Hosts,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) value: Vec<u8>,
    /// Of a mutable one: key, sequence number, signature.
    pub(crate) signed: Option<([u8; 32], i64, [u8; 64])>,
    at: Time,
    /// Who was the first to store it.
    by: SocketAddr,
}

/// A refusal: its code, and why.
pub(crate) type Refusal = (i64, &'static str);

impl Item {
    /// As it goes over the wire; the salt does not.
    pub(crate) fn signed(&self) -> Option<Signed<'_>> {
        let (key, seq, signature) = self.signed.as_ref()?;
        Some(Signed { key, salt: &[], seq: *seq, signature })
    }
}

impl Items {
    pub(crate) fn new(own: NodeId) -> Items {
        Items { items: Nearest::new(own, MAX_ITEMS), hosts: Hosts::new(MAX_ITEMS_PER_HOST) }
    }

    pub(crate) fn set_own(&mut self, own: NodeId) {
        self.items.set_own(own);
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn get(&self, target: &NodeId) -> Option<&Item> {
        self.items.get(target)
    }

    /// Stores an item, whose token is good, of this host. The costly signature is looked at last.
    pub(crate) fn put(&mut self, now: Time, host: &SocketAddr, put: &Put<'_>) -> Result<(), Refusal> {
        let target = put_target(put);
        if let Some(signed) = put.signed {
            self.check_order(&target, put, &signed)?;
        }
        let first = self.items.get(&target).map(|item| item.by);
        if !self.items.has_room(&target) || first.is_none() && !self.hosts.has_room(host) {
            return Err((code::SERVER, "no room"));
        }
        let checked = match put.signed {
            None => item::check_value(put.value),
            Some(Signed { key, salt, seq, signature }) => item::verify(key, salt, seq, signature, put.value),
        };
        checked.map_err(refusal)?;
        let signed = put.signed.map(|signed| (*signed.key, signed.seq, *signed.signature));
        let by = first.unwrap_or(*host);
        self.hosts.add(&by);
        let item = Item { value: put.value.to_vec(), signed, at: now, by };
        if let Some(gone) = self.items.insert(target, item) {
            self.hosts.remove(&gone.by);
        }
        Ok(())
    }

    /// What is stored already decides whether a version may take its place.
    fn check_order(&self, target: &NodeId, put: &Put<'_>, signed: &Signed<'_>) -> Result<(), Refusal> {
        let Some(stored) = self.items.get(target) else { return Ok(()) };
        let stored_seq = stored.signed.map_or(0, |(_, seq, _)| seq);
        if put.cas.is_some_and(|cas| cas != stored_seq) {
            return Err((code::CAS_MISMATCH, "another version is stored"));
        }
        let is_same = signed.seq == stored_seq && stored.value == put.value;
        if signed.seq > stored_seq || is_same {
            return Ok(());
        }
        Err((code::OLD_SEQUENCE, "a version of this number or a newer one is stored"))
    }

    /// Drops what was not stored again for long.
    pub(crate) fn expire(&mut self, now: Time) {
        let Items { items, hosts } = self;
        items.retain(|_, item| {
            let lives = now.since(item.at) < ITEM_LIFETIME;
            if !lives {
                hosts.remove(&item.by);
            }
            lives
        });
    }

    pub(crate) fn check_invariants(&self) {
        self.items.check_invariants();
        self.hosts.check_invariants(self.items.len());
    }
}

/// What an item that is to be stored is called.
pub(crate) fn put_target(put: &Put<'_>) -> NodeId {
    match put.signed {
        None => item::immutable_target(put.value),
        Some(signed) => item::mutable_target(signed.key, signed.salt),
    }
}

fn refusal(error: ItemError) -> Refusal {
    match error {
        ItemError::TooBig => (code::TOO_BIG, "value longer than 1000 bytes"),
        ItemError::SaltTooBig => (code::SALT_TOO_BIG, "salt longer than 64 bytes"),
        ItemError::NotBencode => (code::PROTOCOL, "not canonical bencode"),
        ItemError::NegativeSequence => (code::PROTOCOL, "negative sequence number"),
        ItemError::BadSignature => (code::BAD_SIGNATURE, "invalid signature"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MutableItem;

    fn host(n: usize) -> SocketAddr {
        SocketAddr::from(([80, 1, u8::try_from(n).unwrap(), 1], 1))
    }

    fn put_item(items: &mut Items, now: Time, item: &MutableItem, cas: Option<i64>) -> Result<(), i64> {
        let MutableItem { key, salt, seq, signature, value } = item;
        let signed = Some(Signed { key, salt, seq: *seq, signature });
        items.put(now, &host(1), &Put { token: b"", value, signed, cas }).map_err(|(code, _)| code)
    }

    fn version(seq: i64, value: &[u8]) -> MutableItem {
        MutableItem::sign(&[1; 32], b"salt", seq, value.to_vec()).unwrap()
    }

    #[test]
    fn versions_only_go_up() {
        let mut items = Items::new(NodeId([0; 20]));
        let first = version(4, b"1:a");
        assert_eq!(put_item(&mut items, Time::ZERO, &first, Some(9)), Ok(()), "nothing to compare with");
        assert_eq!(put_item(&mut items, Time::ZERO, &version(3, b"1:a"), None), Err(code::OLD_SEQUENCE));
        assert_eq!(put_item(&mut items, Time::ZERO, &version(4, b"1:b"), None), Err(code::OLD_SEQUENCE));
        assert_eq!(put_item(&mut items, Time::ZERO, &version(5, b"1:b"), Some(3)), Err(code::CAS_MISMATCH));
        let later = Time::ZERO + ITEM_LIFETIME / 2;
        assert_eq!(put_item(&mut items, later, &first, None), Ok(()), "the same again");
        items.expire(Time::ZERO + ITEM_LIFETIME);
        assert_eq!(items.get(&first.target()).unwrap().value, b"1:a", "as if it was new");
        assert_eq!(put_item(&mut items, later, &version(5, b"1:b"), Some(4)), Ok(()));
        assert_eq!(items.get(&first.target()).unwrap().value, b"1:b");
        items.expire(later + ITEM_LIFETIME);
        assert_eq!(items.len(), 0);
    }

    #[test]
    fn bad_items_are_refused_with_the_codes_of_bep_44() {
        let mut items = Items::new(NodeId([0; 20]));
        let long = alloc::format!("997:{}", "x".repeat(997)).into_bytes();
        let put = |value, salt, signature| Put {
            token: b"",
            value,
            signed: Some(Signed { key: &[1; 32], salt, seq: 1, signature }),
            cas: None,
        };
        let mut code_of = |put: &Put<'_>| items.put(Time::ZERO, &host(1), put).map_err(|(code, _)| code);
        assert_eq!(code_of(&put(&long, b"", &[0; 64])), Err(code::TOO_BIG));
        assert_eq!(code_of(&put(b"1:a", &[0; 65], &[0; 64])), Err(code::SALT_TOO_BIG));
        assert_eq!(code_of(&put(b"1:a", &[0; 64], &[0; 64])), Err(code::BAD_SIGNATURE));
        assert_eq!(code_of(&Put { token: b"", value: b"1:a", signed: None, cas: None }), Ok(()));
        assert_eq!(items.len(), 1);
    }

    #[test]
    fn the_farthest_item_makes_room() {
        let mut items = Items::new(NodeId([0; 20]));
        let mut put = |n: usize| {
            let value = alloc::format!("i{n}e");
            let put = Put { token: b"", value: value.as_bytes(), signed: None, cas: None };
            (put_target(&put), items.put(Time::ZERO, &host(n / MAX_ITEMS_PER_HOST), &put))
        };
        let mut names: Vec<NodeId> = (0..MAX_ITEMS + 500).map(|n| put(n).0).collect();
        names.sort_unstable();
        let refused = (0..MAX_ITEMS + 500).filter(|n| put(*n).1 == Err((code::SERVER, "no room")));
        assert_eq!(refused.count(), 500, "those that are not there any more");
        assert!(items.items.iter().map(|(name, _)| name).eq(&names[..MAX_ITEMS]), "the closest stay");
        items.check_invariants();
    }

    #[test]
    fn one_host_does_not_fill_the_store() {
        let mut items = Items::new(NodeId([0; 20]));
        let mut put = |now, by: usize, n: usize| {
            let value = alloc::format!("i{n}e");
            let put = Put { token: b"", value: value.as_bytes(), signed: None, cas: None };
            let result = items.put(now, &host(by), &put).map_err(|(code, _)| code);
            items.check_invariants();
            items.expire(now);
            result
        };
        assert!((0..MAX_ITEMS_PER_HOST).all(|n| put(Time::ZERO, 1, n).is_ok()));
        assert_eq!(put(Time::ZERO, 1, MAX_ITEMS_PER_HOST), Err(code::SERVER));
        assert_eq!(put(Time::ZERO, 1, 0), Ok(()), "it is there already");
        assert_eq!(put(Time::ZERO, 2, 0), Ok(()), "whoever stores it");
        assert_eq!(put(Time::ZERO, 2, MAX_ITEMS_PER_HOST), Ok(()), "another host");
        assert_eq!(put(Time::ZERO + ITEM_LIFETIME, 2, 0), Ok(()));
        assert_eq!(put(Time::ZERO + ITEM_LIFETIME, 1, 1), Ok(()), "what it stored has expired");
    }
}
