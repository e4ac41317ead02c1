//! What the owner of a torrent wishes of the picker.

/// How much a piece is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Not at all.
    Skip,
    /// After all others.
    Low,
    /// As every piece is at first.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// In which order pieces of the same priority are fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Those that fewest peers have: best for the swarm, and the fastest.
    #[default]
    RarestFirst,
    /// From the first to the last. Peers that are slow take pieces further back, so that they hold up none in front.
    Sequential,
}

impl Priority {
    /// The priorities of pieces that are wanted, in the order in which pieces are fetched.
    pub(crate) const WANTED: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// Its place in [`Priority::WANTED`]; pieces that are not wanted are in no order.
    pub(crate) const fn class(self) -> usize {
        match self {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low | Priority::Skip => 2,
        }
    }
}
