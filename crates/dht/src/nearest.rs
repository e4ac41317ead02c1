//! What a node keeps for others, by name: when there is no more room, what is farthest from the node goes. Others are
//! closer to that, and hold it too.

use crate::{Distance, NodeId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Debug)]
pub(crate) struct Nearest<V> {
    own: NodeId,
    entries: BTreeMap<Distance, (NodeId, V)>,
    capacity: usize,
}

impl<V> Nearest<V> {
    pub(crate) fn new(own: NodeId, capacity: usize) -> Nearest<V> {
        Nearest { own, entries: BTreeMap::new(), capacity }
    }

    pub(crate) fn get(&self, name: &NodeId) -> Option<&V> {
        self.entries.get(&self.own.distance(name)).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &NodeId) -> Option<&mut V> {
        self.entries.get_mut(&self.own.distance(name)).map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// By distance, the closest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &V)> {
        self.entries.values().map(|(name, value)| (name, value))
    }

    /// Whether there is a place for this name, if need be that of one that is farther.
    pub(crate) fn has_room(&self, name: &NodeId) -> bool {
        let distance = self.own.distance(name);
        self.entries.len() < self.capacity
            || self.entries.contains_key(&distance)
            || self.entries.last_key_value().is_some_and(|(farthest, _)| distance < *farthest)
    }

    /// Puts in a value for which there is room, and gives back those that had to go for it.
    pub(crate) fn insert(&mut self, name: NodeId, value: V) -> Option<V> {
        debug_assert!(self.has_room(&name), "there is no room");
        if let Some((_, old)) = self.entries.insert(self.own.distance(&name), (name, value)) {
            return Some(old);
        }
        let over = self.entries.len() > self.capacity;
        if over { self.entries.pop_last().map(|(_, (_, value))| value) } else { None }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&NodeId, &mut V) -> bool) {
        self.entries.retain(|_, (name, value)| keep(name, value));
    }

    /// Measures from another id from now on.
    pub(crate) fn set_own(&mut self, own: NodeId) {
        self.own = own;
        let entries: Vec<_> = core::mem::take(&mut self.entries).into_values().collect();
        self.entries = entries.into_iter().map(|entry| (own.distance(&entry.0), entry)).collect();
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.entries.len() <= self.capacity, "more than there is room for");
        assert!(self.entries.iter().all(|(distance, (name, _))| *distance == self.own.distance(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_makes_room() {
        let name = |n: u8| NodeId([n; 20]);
        let mut nearest = Nearest::new(name(0), 2);
        assert_eq!(nearest.insert(name(1), 'a'), None);
        assert_eq!(nearest.insert(name(9), 'b'), None);
        assert!(!nearest.has_room(&name(10)));
        assert!(nearest.has_room(&name(9)));
        assert_eq!(nearest.insert(name(2), 'c'), Some('b'));
        assert_eq!(nearest.insert(name(2), 'd'), Some('c'));
        assert_eq!((nearest.get(&name(2)), nearest.get(&name(9))), (Some(&'d'), None));
        nearest.set_own(name(3));
        assert_eq!(nearest.iter().map(|(_, value)| *value).collect::<Vec<_>>(), ['d', 'a']);
        nearest.check_invariants();
    }
}
