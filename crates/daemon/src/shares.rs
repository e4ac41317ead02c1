//! What many share, so that none of them takes all of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

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
