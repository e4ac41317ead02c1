//! Faults that are planted on purpose, to see that the simulator finds them. Never part of a program: the feature
//! `planted` is for that test alone.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The picker skips the block after the one that it picks.
    OffByOne,
    /// The brain does not ask to be woken for its peers' deadlines.
    LostWakeUp,
    /// The brain goes on as if it had not been choked.
    IgnoredChoke,
}
