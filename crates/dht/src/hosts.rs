//! How much each host has had stored here: nobody is to fill the whole store.

use crate::addr::{is_local, source};
use alloc::collections::BTreeMap;
use core::net::SocketAddr;

#[derive(Debug)]
pub(crate) struct Hosts {
    counts: BTreeMap<SocketAddr, usize>,
    most: usize,
}

impl Hosts {
    /// Counts hosts, of which each may have so many.
    pub(crate) fn new(most: usize) -> Hosts {
        Hosts { counts: BTreeMap::new(), most }
    }

    /// Whether the host may have one more. On a local network any may: no stranger sends from there.
    pub(crate) fn has_room(&self, host: &SocketAddr) -> bool {
        is_local(host.ip()) || self.counts.get(&source(host)).is_none_or(|count| *count < self.most)
    }

    pub(crate) fn add(&mut self, host: &SocketAddr) {
        *self.counts.entry(source(host)).or_insert(0) += 1;
    }

    pub(crate) fn remove(&mut self, host: &SocketAddr) {
        if let Some(count) = self.counts.get_mut(&source(host)) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source(host));
            }
        }
    }

    /// Panics if it is not so much altogether.
    pub(crate) fn check_invariants(&self, all: usize) {
        assert_eq!(self.counts.values().sum::<usize>(), all, "what all hosts have");
    }
}
