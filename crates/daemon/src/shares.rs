//! What many share, so that none of them takes all of it.

use crate::access::{From, Who, network};
use crate::error::Refusal;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for what lasts long. Whoever has a token, or none and the same address, has a share of it; the owner's socket has as
/// much of its own.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) others: Arc<Semaphore>,
    pub(crate) owner: Arc<Semaphore>,
    shares: Shares<Sharer>,
    each: usize,
}

/// Who has a share of a room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sharer {
    /// Of a token the digest.
    Token(String),
    Network(IpAddr),
}

/// Some room that was taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share<Sharer>>,
}

impl Room {
    /// For so many at a time, of whom so many may be one's.
    pub(crate) fn new(most: usize, each: usize) -> Room {
        let [others, owner] = [(); 2].map(|()| Arc::new(Semaphore::new(most)));
        Room { others, owner, shares: Shares::default(), each }
    }

    /// A place for one more; refused with 503 if there is none.
    pub(crate) fn take(&self, from: From, who: &Who) -> Result<Place, Refusal> {
        let (room, sharer) = match (from, &who.token) {
            (From::Unix, _) => (&self.owner, None),
            (From::Tcp(_), Some(digest)) => (&self.others, Some(Sharer::Token(digest.clone()))),
            (From::Tcp(addr), None) => {
                (&self.others, Some(Sharer::Network(network(addr.ip().to_canonical()))))
            }
        };
        let share = match sharer {
            Some(sharer) => Some(self.shares.take(sharer, self.each).ok_or_else(Refusal::busy)?),
            None => None,
        };
        let permit = room.clone().try_acquire_owned().map_err(|_| Refusal::busy())?;
        Ok(Place { _permit: permit, _share: share })
    }
}

/// How many each has taken.
#[derive(Debug)]
pub(crate) struct Shares<K>(Arc<Mutex<BTreeMap<K, usize>>>);

impl<K> Default for Shares<K> {
    fn default() -> Shares<K> {
        Shares(Arc::default())
    }
}

impl<K: Ord + Clone> Shares<K> {
    /// One more for `key`, until what is returned is dropped; `None` if it has `most` already.
    pub(crate) fn take(&self, key: K, most: usize) -> Option<Share<K>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(key.clone()) {
            Entry::Vacant(free) => drop(free.insert(1)),
            Entry::Occupied(taken) if *taken.get() >= most => return None,
            Entry::Occupied(mut taken) => *taken.get_mut() += 1,
        }
        Some(Share { all: self.0.clone(), key })
    }
}

/// One that was taken.
#[derive(Debug)]
pub(crate) struct Share<K: Ord> {
    all: Arc<Mutex<BTreeMap<K, usize>>>,
    key: K,
}

impl<K: Ord> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = held.get_mut(&self.key) {
            *taken -= 1;
            if *taken == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::tokens::Scope;

    #[test]
    fn nobody_has_all_of_a_room_and_the_owner_has_one_of_its_own() {
        let room = Room::new(4, 2);
        let take = |from: &str, token: Option<&str>| {
            let from = from.parse::<IpAddr>().map_or(From::Unix, |addr| From::Tcp((addr, 1).into()));
            let who = Who { name: String::new(), scope: Scope::Read, token: token.map(str::to_owned) };
            room.take(from, &who).ok()
        };
        let [here, there] = ["127.0.0.1", "192.0.2.1"];
        let mut held: Vec<_> = (0..2).map(|_| take(here, Some("a")).unwrap()).collect();
        assert!(take(here, Some("a")).is_none() && take(there, Some("a")).is_none(), "it is the token's");
        held.push(take(here, Some("b")).unwrap());
        held.push(take(here, None).unwrap());
        assert!(take(there, None).is_none() && take(there, Some("c")).is_none(), "there is no more");
        let own: Vec<_> = (0..4).map(|_| take("unix", None).unwrap()).collect();
        assert!(take("unix", None).is_none());
        drop(held);
        let one = ["2001:db8::1", "2001:db8::2"].map(|addr| take(addr, None).unwrap());
        assert!(take("2001:db8::3", None).is_none() && take("2001:db8:0:1::", None).is_some());
        drop((own, one));
        assert!(room.shares.0.lock().unwrap().is_empty());
    }

    #[test]
    fn each_has_its_share_and_what_is_given_back_is_forgotten() {
        let shares = Shares::default();
        let held = [shares.take("a", 2).unwrap(), shares.take("a", 2).unwrap()];
        assert!(shares.take("a", 2).is_none());
        drop(shares.take("b", 2).unwrap());
        drop(held);
        assert!(shares.0.lock().unwrap().is_empty());
        shares.take("a", 2).unwrap();
    }
}
