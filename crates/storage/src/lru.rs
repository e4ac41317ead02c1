//! A small map that forgets what was used longest ago.

use std::collections::HashMap;
use std::hash::Hash;

/// At most `capacity` entries. Making room looks at all of them, so it is meant for hundreds, not millions.
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, (u64, V)>,
    uses: u64,
    capacity: usize,
}

impl<K: Hash + Eq + Copy, V: Clone> Lru<K, V> {
    pub(crate) fn new(capacity: usize) -> Lru<K, V> {
        Lru { entries: HashMap::new(), uses: 0, capacity: capacity.max(1) }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.uses += 1;
        let (used, value) = self.entries.get_mut(key)?;
        *used = self.uses;
        Some(value.clone())
    }

    /// Adds or replaces an entry and returns what had to go, for the caller to drop where that may take long.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.uses += 1;
        if let Some((_, old)) = self.entries.insert(key, (self.uses, value)) {
            return Some(old);
        }
        if self.entries.len() <= self.capacity {
            return None;
        }
        let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)?;
        self.entries.remove(&oldest).map(|(_, value)| value)
    }

    /// Takes out every entry whose key is `gone`.
    pub(crate) fn remove_if(&mut self, gone: impl Fn(&K) -> bool) -> Vec<V> {
        self.entries.extract_if(|key, _| gone(key)).map(|(_, (_, value))| value).collect()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_used_longest_ago_goes() {
        let mut lru = Lru::new(2);
        assert_eq!(lru.insert("a", 1), None);
        assert_eq!(lru.insert("b", 2), None);
        assert_eq!(lru.get(&"a"), Some(1));
        assert_eq!(lru.insert("c", 3), Some(2));
        assert_eq!(lru.len(), 2);
        assert_eq!(lru.get(&"b"), None);
        assert_eq!(lru.insert("a", 4), Some(1), "replaced");
        assert_eq!(lru.remove_if(|key| *key == "a"), [4]);
        assert_eq!(lru.get(&"a"), None);
    }
}
