//! What a web seed was asked for: blocks that wait, put together into runs, and runs under way.

use super::{MIN_RUN, RUN_BYTES};
use std::collections::{BTreeMap, HashMap};
use tokio::sync::oneshot;
use types::{BlockRange, Lengths};

/// The blocks that are asked for and have not come, each in one of two states: it waits, or is part of a run.
#[derive(Debug)]
pub(super) struct Queue {
    lengths: Lengths,
    /// By where they begin in the torrent, with the order in which they were asked for.
    waiting: BTreeMap<u64, (u64, BlockRange)>,
    /// Where they begin, by that order.
    order: BTreeMap<u64, u64>,
    asked: u64,
    /// In which run they are expected.
    expected: HashMap<BlockRange, u64>,
    runs: HashMap<u64, Open>,
    started: u64,
}

#[derive(Debug)]
pub(super) struct Open {
    /// Blocks that are expected still, or on their way to the disk.
    left: usize,
    abandon: oneshot::Sender<()>,
}

/// Blocks that follow each other.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) blocks: Vec<BlockRange>,
    /// None of it is wanted any more.
    pub(super) abandoned: oneshot::Receiver<()>,
}

impl Queue {
    pub(super) fn new(lengths: Lengths) -> Queue {
        Queue {
            lengths,
            waiting: BTreeMap::new(),
            order: BTreeMap::new(),
            asked: 0,
            expected: HashMap::new(),
            runs: HashMap::new(),
            started: 0,
        }
    }

    fn start(&self, block: BlockRange) -> u64 {
        self.lengths.piece_offset(block.piece) + u64::from(block.offset)
    }

    /// How many blocks there are is the brain's to limit.
    pub(super) fn ask(&mut self, block: BlockRange) {
        let start = self.start(block);
        if self.expected.contains_key(&block) || self.waiting.contains_key(&start) {
            return;
        }
        self.waiting.insert(start, (self.asked, block));
        self.order.insert(self.asked, start);
        self.asked += 1;
    }

    pub(super) fn cancel(&mut self, block: BlockRange) {
        let start = self.start(block);
        if let Some(&(order, waiting)) = self.waiting.get(&start)
            && waiting == block
        {
            self.waiting.remove(&start);
            self.order.remove(&order);
        }
        if let Some(run) = self.expected.remove(&block)
            && let Some(open) = self.settle(run)
        {
            // Nobody listens if the run has ended.
            let _ = open.abandon.send(());
        }
    }

    /// A block came in a run; whether it is expected in that one still: it may have been taken back, and asked for anew.
    /// To be settled when the disk has taken it: until then the run is not abandoned.
    pub(super) fn take(&mut self, block: BlockRange, run: u64) -> bool {
        let is_expected = self.expected.get(&block) == Some(&run);
        if is_expected {
            self.expected.remove(&block);
        }
        is_expected
    }

    /// One block less to wait for; the run, if it was the last.
    pub(super) fn settle(&mut self, run: u64) -> Option<Open> {
        let open = self.runs.get_mut(&run)?;
        open.left -= 1;
        if open.left == 0 { self.runs.remove(&run) } else { None }
    }

    /// The next run: from the block that waits longest on, as long as blocks follow each other. While others are under
    /// way, a short one waits for more.
    pub(super) fn next_run(&mut self, is_busy: bool) -> Option<Run> {
        let (_, &first) = self.order.first_key_value()?;
        let (mut blocks, mut end) = (Vec::new(), first);
        for (&start, &(_, block)) in self.waiting.range(first..) {
            let len = u64::from(block.len);
            if start != end || end + len - first > RUN_BYTES && !blocks.is_empty() {
                break;
            }
            blocks.push(block);
            end += len;
        }
        if is_busy && end - first < MIN_RUN {
            return None;
        }
        let number = self.started;
        self.started += 1;
        for &block in &blocks {
            let start = self.start(block);
            if let Some((order, _)) = self.waiting.remove(&start) {
                self.order.remove(&order);
            }
            self.expected.insert(block, number);
        }
        let (abandon, abandoned) = oneshot::channel();
        self.runs.insert(number, Open { left: blocks.len(), abandon });
        Some(Run { number, blocks, abandoned })
    }

    /// Whether anything is asked for that is not part of a run.
    pub(super) fn is_waiting(&self) -> bool {
        !self.order.is_empty()
    }

    /// A run that takes blocks as they come, and where the one begins that waits longest.
    pub(super) fn begin_sweep(&mut self) -> Option<(u64, u64)> {
        let (_, &first) = self.order.first_key_value()?;
        let number = self.started;
        self.started += 1;
        // Never abandoned.
        self.runs.insert(number, Open { left: usize::MAX, abandon: oneshot::channel().0 });
        Some((number, first))
    }

    /// Where the first block begins that waits, of those that begin in these bytes of the torrent.
    pub(super) fn next_in(&self, bytes: std::ops::Range<u64>) -> Option<u64> {
        self.waiting.range(bytes).next().map(|(&start, _)| start)
    }

    /// Makes the block that waits here part of a run.
    pub(super) fn sweep_up(&mut self, start: u64, run: u64) -> Option<BlockRange> {
        let (order, block) = self.waiting.remove(&start)?;
        self.order.remove(&order);
        self.expected.insert(block, run);
        Some(block)
    }

    /// What has not come of a run waits again.
    pub(super) fn give_back(&mut self, run: u64) {
        let mut back: Vec<BlockRange> =
            self.expected.extract_if(|_, of| *of == run).map(|(block, _)| block).collect();
        back.sort_unstable_by_key(|block| (block.piece, block.offset));
        back.into_iter().for_each(|block| self.ask(block));
    }

    /// Where the run's bytes lie in the torrent.
    pub(super) fn bytes(&self, run: &Run) -> std::ops::Range<u64> {
        let (first, last) = (run.blocks[0], run.blocks[run.blocks.len() - 1]);
        self.start(first)..self.start(last) + u64::from(last.len)
    }

    /// A run has ended.
    pub(super) fn end(&mut self, run: u64) {
        self.runs.remove(&run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn lengths() -> Lengths {
        Lengths::new(100 * 50_000 - 7, 50_000).unwrap()
    }

    fn block(number: u32) -> BlockRange {
        let lengths = lengths();
        let per_piece = lengths.block_count(types::PieceIndex::new(0));
        lengths.block(types::PieceIndex::new(number / per_piece), number % per_piece).unwrap()
    }

    fn runs(queue: &mut Queue) -> Vec<Run> {
        std::iter::from_fn(|| queue.next_run(false)).collect()
    }

    #[test]
    fn what_follows_each_other_is_one_run_and_the_oldest_comes_first() {
        let mut queue = Queue::new(lengths());
        [9, 3, 4, 8, 10, 2, 4].map(block).into_iter().for_each(|block| queue.ask(block));
        let runs: Vec<_> = runs(&mut queue).into_iter().map(|run| run.blocks).collect();
        assert_eq!(
            runs,
            [[9, 10].map(block).to_vec(), [3, 4].map(block).to_vec(), vec![block(8)], vec![block(2)]]
        );
        assert!(queue.waiting.is_empty() && queue.order.is_empty());
    }

    #[test]
    fn a_short_run_waits_while_others_are_under_way() {
        let mut queue = Queue::new(lengths());
        let least = u32::try_from(MIN_RUN / 16_384).unwrap();
        (0..least).for_each(|n| queue.ask(block(n)));
        assert!(queue.next_run(true).is_none());
        (least..least * 2).for_each(|n| queue.ask(block(n)));
        assert!(queue.next_run(true).is_some());
    }

    #[test]
    fn a_run_of_which_nothing_is_wanted_is_abandoned() {
        let mut queue = Queue::new(lengths());
        (0..3).for_each(|n| queue.ask(block(n)));
        let mut run = queue.next_run(false).unwrap();
        let number = run.number;
        assert!(queue.take(block(0), number) && !queue.take(block(0), number));
        queue.cancel(block(2));
        queue.cancel(block(1));
        assert!(run.abandoned.try_recv().is_err(), "a block is on its way");
        assert!(queue.settle(number).is_some());
        assert!(run.abandoned.try_recv().is_err(), "what is complete is not abandoned");
        (0..3).for_each(|n| queue.ask(block(n)));
        let mut run = queue.next_run(false).unwrap();
        (0..3).for_each(|n| queue.cancel(block(n)));
        assert!(run.abandoned.try_recv().is_ok());
        queue.ask(block(1));
        queue.cancel(block(1));
        assert!(queue.waiting.is_empty() && queue.next_run(false).is_none());
    }

    #[test]
    fn what_is_asked_for_anew_is_not_expected_in_the_run_before() {
        let mut queue = Queue::new(lengths());
        (0..2).for_each(|n| queue.ask(block(n)));
        let mut before = queue.next_run(false).unwrap();
        queue.cancel(block(0));
        queue.ask(block(0));
        let anew = queue.next_run(false).unwrap();
        assert!(!queue.take(block(0), before.number));
        queue.cancel(block(1));
        assert!(before.abandoned.try_recv().is_ok());
        assert!(queue.take(block(0), anew.number));
    }

    proptest! {
        #[test]
        fn runs_cover_exactly_what_is_asked_for(
            asked in proptest::collection::vec(0u32..400, 0..300),
            cancelled in proptest::collection::vec(0u32..400, 0..50),
        ) {
            let mut queue = Queue::new(lengths());
            asked.iter().for_each(|&n| queue.ask(block(n)));
            cancelled.iter().for_each(|&n| queue.cancel(block(n)));
            let expected: BTreeSet<_> =
                asked.iter().filter(|n| !cancelled.contains(n)).map(|&n| block(n)).collect();
            let (mut covered, mut taken) = (BTreeSet::new(), true);
            for run in runs(&mut queue) {
                let bytes = queue.bytes(&run);
                prop_assert!(bytes.end - bytes.start <= RUN_BYTES);
                let mut at = bytes.start;
                for &block in &run.blocks {
                    prop_assert_eq!(queue.start(block), at);
                    at += u64::from(block.len);
                    prop_assert!(covered.insert(block), "asked for twice");
                    taken &= queue.take(block, run.number);
                }
                prop_assert_eq!(at, bytes.end);
            }
            prop_assert_eq!(&covered, &expected);
            prop_assert!(taken && queue.expected.is_empty());
        }
    }
}
