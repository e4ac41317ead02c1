//! What is to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use types::Time;

/// Events by their time; equals in the order in which they were put in.
///
/// The heap moves small keys only, the events themselves stay where they are: with millions under way that is what
/// a run's speed depends on.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Queue<E> {
        Queue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    pub(crate) fn put(&mut self, at: Time, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events are under way")
            }
        };
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, slot)));
    }

    /// The next event, unless it is later than `end`.
    pub(crate) fn take(&mut self, end: Time) -> Option<(Time, E)> {
        let &Reverse((at, _, slot)) = self.heap.peek()?;
        if at > end {
            return None;
        }
        self.heap.pop();
        self.free.push(slot);
        let event = self.slots[slot as usize].take().expect("a key stands for one event");
        Some((at, event))
    }

    /// How many events were put in so far.
    pub(crate) fn count(&self) -> u64 {
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_in_order() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b'), (9, 'e')] {
            queue.put(Time::from_secs(at), event);
        }
        let mut seen = String::new();
        while let Some((_, event)) = queue.take(Time::from_secs(5)) {
            seen.push(event);
            if event == 'a' {
                queue.put(Time::from_secs(5), 'x');
            }
        }
        assert_eq!(seen, "abcdx");
        assert_eq!(queue.take(Time::from_secs(8)), None);
        assert_eq!(queue.take(Time::MAX), Some((Time::from_secs(9), 'e')));
    }
}
