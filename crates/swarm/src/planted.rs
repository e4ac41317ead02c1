//! Faults that are planted on purpose, to see that the tests that guard against them find them. Never part of a program:
//! the feature `planted` is for the controls of tests alone.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The picker skips the block after the one that it picks.
    OffByOne,
    /// The brain does not ask to be woken for its peers' deadlines.
    LostWakeUp,
    /// The brain goes on as if it had not been choked.
    IgnoredChoke,
    /// Nobody is banned, whatever is proven.
    SparedLiar,
    /// A request that is refused is not answered.
    SilentDrop,
    /// Requests are queued without limit.
    EndlessQueue,
    /// Whoever asks for too much is read on.
    NeverHeld,
    /// A bit field of another length is no reason to part.
    AnyBitfield,
    /// A `have` of a piece that does not exist is no reason to part.
    AnyHave,
    /// Our own id is as good as another.
    OwnFriend,
    /// Two connections with one id are both kept.
    Twins,
    /// Who rejects a request is asked again at once.
    EagerAgain,
    /// Who does not send what it was asked for is waited for, and nobody else is asked.
    EndlessPatience,
    /// What is allowed and suggested is remembered without limit.
    LongMemory,
    /// Each `have` looks at all pieces.
    SlowHave,
    /// Who says anew what it has may do so without end.
    EndlessRecount,
    /// What a peer had before it said anew what it has is kept.
    HoardedPieces,
    /// Payload that nobody asked for is not counted.
    UncountedPayload,
    /// Metadata is believed that has another hash.
    AnyMetadata,
}

/// Faults as those who plant them spell them.
const NAMES: &[(&str, Planted)] = &[
    ("off-by-one", Planted::OffByOne),
    ("lost-wake-up", Planted::LostWakeUp),
    ("ignored-choke", Planted::IgnoredChoke),
    ("spared-liar", Planted::SparedLiar),
    ("silent-drop", Planted::SilentDrop),
    ("endless-queue", Planted::EndlessQueue),
    ("never-held", Planted::NeverHeld),
    ("any-bitfield", Planted::AnyBitfield),
    ("any-have", Planted::AnyHave),
    ("own-friend", Planted::OwnFriend),
    ("twins", Planted::Twins),
    ("eager-again", Planted::EagerAgain),
    ("endless-patience", Planted::EndlessPatience),
    ("long-memory", Planted::LongMemory),
    ("slow-have", Planted::SlowHave),
    ("endless-recount", Planted::EndlessRecount),
    ("hoarded-pieces", Planted::HoardedPieces),
    ("uncounted-payload", Planted::UncountedPayload),
    ("any-metadata", Planted::AnyMetadata),
];

impl Planted {
    /// The fault of that name, if there is one.
    pub fn named(name: &str) -> Option<Planted> {
        NAMES.iter().find(|(spelled, _)| *spelled == name).map(|&(_, fault)| fault)
    }
}
