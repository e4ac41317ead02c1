//! Every limit and period of a swarm, and what happens when one is reached.

use core::time::Duration;

/// Addresses in the book. At the limit a new one takes the place of the one that failed most often, else of a seed that
/// we want nothing from, else of one whose sources are trusted less (never of one whose sources are trusted more, that the
/// user gave, or that we are dealing with); if there is none, the new one is dropped.
pub const MAX_KNOWN_PEERS: usize = 3000;

/// Addresses in the book that nobody but peers told, and one host first: a twentieth of [`MAX_KNOWN_PEERS`]. At the limit
/// what else it tells is dropped.
pub const MAX_TOLD_BY_ONE: usize = MAX_KNOWN_PEERS / 20;

/// Within which an address at which nobody has answered yet is dialed once at most, whoever advertises it (not one that
/// the user gave).
pub const DIAL_INTERVAL: Duration = Duration::from_secs(300);

/// Ports of one host (a /64 of IPv6) that are dialed within [`DIAL_INTERVAL`], those that answered not counted. Beyond it
/// the others wait. Loopback addresses are exempt.
pub const MAX_HOST_DIALS: usize = 8;

/// Dials of a torrent within [`DIAL_INTERVAL`] that nobody answered. At the limit nobody else is dialed whom the user did
/// not give and who has not answered before: fourteen a second.
pub const MAX_RECENT_DIALS: usize = 4096;

/// Hosts whose conduct is remembered. At the limit the oldest that is neither connected nor on parole is forgotten,
/// then the oldest that is not connected and on parole for what will never be cleared up; if there is none, the blocks
/// of a new peer are nobody's.
pub const MAX_SUSPECTS: usize = 4096;

/// Blocks of failed pieces of which sender and digest are kept until their pieces are verified (24 bytes each): more
/// than fit into 60 pieces of 16 MiB. At the limit the piece that failed first is not cleared up any more: who sent
/// some of it stays on parole.
pub const MAX_EVIDENCE_BLOCKS: usize = 65_536;

/// Failed pieces that are fetched again before all others, each from one peer that nobody suspects. At the limit one
/// more is open like any other.
pub const MAX_SPOILED_PIECES: usize = 256;

/// Connections that are gone and whose blocks are still told apart when they come out of storage's queue. At the limit
/// the oldest is forgotten, and what still comes from it is nobody's.
pub const MAX_DEPARTED: usize = 256;

/// Banned hosts. At the limit a liar is still disconnected, but may come back.
pub const MAX_BANS: usize = 4096;

/// Our requests in flight to one peer, whatever it offers: 256 MiB, twice what 10 Gbit/s at 100 ms needs.
pub const MAX_WINDOW: usize = 16_384;

/// Our requests in flight to one peer, however slow: one is being sent, one waits in its queue, two for luck.
pub const MIN_WINDOW: usize = 4;

/// Our requests in flight to a peer of which nothing is known yet.
pub const INITIAL_WINDOW: usize = 32;

/// The same while pieces have a deadline: what is left to a slow peer comes late.
pub const INITIAL_WINDOW_URGENT: usize = 8;

/// A web seed is asked for so many blocks at a time (256 KiB) while it has others to send, or for half of its window if
/// that is less: each run of blocks costs it an answer.
pub const WEB_SEED_BATCH: usize = 16;

/// A web seed goes on with the next piece until it comes to a multiple of this in bytes: beyond, the rarest piece counts
/// again. Long enough that answers are long, however short pieces are.
pub const WEB_SEED_STRETCH: u64 = 16 << 20;

/// Our requests in flight to a peer that does not tell how many it queues (libtorrent's old default, BEP 10).
pub const DEFAULT_REQQ: usize = 250;

/// The longest block that is served. A longer request is a bad one, as [`wire`] refuses to receive such a block.
pub const MAX_REQUEST_LEN: u32 = wire::MAX_BLOCK_LEN;

/// Requests of one peer that wait or are being served, 12 bytes each, if the owner says nothing else. At the limit one
/// more is rejected (BEP 6). A peer that knows no `reject` is read no more when half are taken, until it is one
/// quarter: rTorrent keeps thousands in flight, takes no notice of `reqq` and stalls when one is dropped. The other
/// half is for what was read before; if more comes, the peer is disconnected.
pub const MAX_REQUESTS: usize = 8192;

/// A peer that asked for so much that it is read no more loses its slot to others that wait for one if it takes nothing
/// for this long.
pub const HELD_PATIENCE: Duration = Duration::from_secs(5);

/// Requests for what is not there, beyond the queue, or while choked, that one peer may make before it is
/// disconnected.
pub const MAX_BAD_REQUESTS: u32 = 1000;

/// After a choke, how long requests that crossed it on the way are not counted as bad.
pub const CHOKE_GRACE: Duration = Duration::from_secs(30);

/// Payload that nobody asked for that one peer may send before it is disconnected, in bytes, over what it sent
/// usefully. Cancelled and given-up blocks may still arrive, so it is not zero.
pub const MAX_UNREQUESTED_BYTES: u64 = 64 << 20;

/// Pieces of which the peers are counted anew within [`RECOUNTED_FOR`] since peers at one host say anew what they have (a bit
/// field, all, or nothing), and one for every 64 of the torrent each time; or since one loses a piece (BEP 54) of a full
/// set, which costs all of them. Four times as many as a torrent may have. Beyond it, who says it is disconnected, however
/// often it comes again.
pub const MAX_RECOUNTED: u64 = 8 << 20;

/// How long it takes until [`MAX_RECOUNTED`] pieces are forgiven, a few at a time.
pub const RECOUNTED_FOR: Duration = Duration::from_secs(3600);

/// Whoever had more pieces counted anew than this, and is not forgiven, is remembered when nobody is here any more: it would
/// have as many again each time that it comes alone.
pub const RECOUNTED_KEPT: u64 = MAX_RECOUNTED / 64;

/// Pieces that one peer may allow while it chokes us (BEP 6); more are ignored.
pub const MAX_ALLOWED_FAST: usize = 64;

/// Pieces that a peer with no more than this may have from us while it is choked: the `k` of BEP 6.
pub const ALLOWED_FAST_PIECES: usize = 10;

/// Bytes that one peer may have while it is choked. Beyond it, its requests for allowed pieces are rejected too.
pub const MAX_FAST_BYTES: u64 = 2 << 20;

/// What peers say about our address, for each family: the latest voices of so many hosts. At the limit the oldest is
/// forgotten.
pub const MAX_EXTERNAL_VOTES: usize = 16;

/// Hosts that must say the same about our address before it is believed.
pub const EXTERNAL_QUORUM: usize = 3;

/// How long a connection is safe from one of higher priority (BEP 40). One that is used is safe as long as it is.
pub const REPLACE_AFTER: Duration = Duration::from_secs(60);

/// Pieces begun and not verified. At the limit no other piece is begun; those begun go on.
pub const MAX_PARTIAL_PIECES: usize = 4096;

/// How many begun pieces of one priority are looked at for one that other peers have not been left with. When none of
/// them is, an open piece is taken; when there is no such piece, all of them are looked at.
pub const BEGUN_SCAN: usize = 128;

/// How many open pieces of one priority are looked at, rarest first, for one that a peer has. When it has none of
/// them, it gets the rarest of [`OPEN_SAMPLE`] of its pieces.
pub const RAREST_SCAN: usize = 1024;

/// See [`RAREST_SCAN`].
pub const OPEN_SAMPLE: usize = 64;

/// Bytes that the driver reads and sends for one peer at a time: at least and at most; between them, what the peer
/// takes in [`SERVE_TIME`]. The rest of its requests wait in the swarm, where a cancel can reach them.
pub const SERVE_BYTES: (u64, u64) = (256 << 10, 4 << 20);

/// See [`SERVE_BYTES`].
pub const SERVE_TIME: Duration = Duration::from_millis(250);

/// Pieces with a deadline. At the limit the latest makes room for an earlier one; a later one is not taken.
pub const MAX_DEADLINES: usize = 256;

/// How many deadlines are looked at, the earliest first, for a block that is late.
pub const LATE_SCAN: usize = 32;

/// How many peers are asked for the same block of a piece whose deadline is near, outside the end game.
pub const DEADLINE_COPIES: u8 = 3;

/// How near a deadline is when other peers are asked too, if who was asked is late or will be.
pub const DEADLINE_NEAR: Duration = Duration::from_secs(2);

/// How long a peer of which nothing is known yet is taken to need for a block.
pub const UNKNOWN_ETA: Duration = Duration::from_secs(1);

/// While pieces have a deadline, how many requests all peers have together in flight at least, though each has one.
pub const DEADLINE_REQUESTS: usize = 32;

/// When pieces are fetched in order, a peer whose next block should take twice as long as the quickest peer's, and
/// this much more, is slow: it takes pieces that are so far back that it holds up nobody.
pub const SLOW_MARGIN: Duration = Duration::from_millis(500);

/// How old what is known of the peers' pace may be.
pub const PACE_INTERVAL: Duration = Duration::from_millis(250);

/// Pieces that are chosen at random before the rarest come first: something to trade is needed soon, and rare
/// pieces are slow.
pub const RANDOM_FIRST_PIECES: u32 = 4;

/// A peer that delivers a whole piece within this is left alone with its pieces: fewer suspects if one is bad.
pub const WHOLE_PIECE_TIME: Duration = Duration::from_secs(3);

/// Bytes of pieces that were left to a peer on parole and are not verified, or [`PAROLE_PIECES`] if those are more. At the
/// limit it is asked for nothing but the rest of them: it may withhold the last block of each, which others who send it
/// are suspected for.
pub const PAROLE_BYTES: u64 = 1 << 20;

/// See [`PAROLE_BYTES`].
pub const PAROLE_PIECES: u64 = 2;

/// Long pieces that a fast peer is asked for in turn, so that they are hashed abreast.
pub const PIECES_IN_TURN: usize = 16;

/// How many bytes of one of them it is asked for at a time.
pub const TURN_BYTES: u32 = 256 << 10;

/// Pieces longer than this are asked for in turn: of shorter ones several are complete together by themselves.
pub const TURNS_FROM: u32 = 2 << 20;

/// A peer that delivers [`PIECES_IN_TURN`] whole pieces within this is asked for them in turn.
pub const TURNS_TIME: Duration = Duration::from_secs(1);

/// A peer that delivers a whole piece within this can keep others from a piece that is to have one author, even if they
/// idle; a slower one would hold up everything.
pub const PAROLE_PIECE_TIME: Duration = Duration::from_secs(30);

/// Under a limit of our own, for how long ahead peers together are asked for blocks, and each for what it brings in
/// twice that time: what is asked for can't be taken back once it is on its way, and a peer that stops holds up no more.
pub const LIMITED_WINDOW: Duration = Duration::from_millis(500);

/// The fewest requests that a peer may have in flight under such a limit.
pub const LIMITED_REQUESTS: usize = 2;

/// Allowance that a limit keeps when less passes than it lets: so many seconds' worth, or [`BURST_BYTES`].
pub const BURST_TIME: Duration = Duration::from_millis(100);

/// See [`BURST_TIME`]: a block and its headers, or a slow limit would lose what it keeps.
pub const BURST_BYTES: u64 = 17 << 10;

/// The deepest debt that a limit remembers, in seconds' worth (at least [`BURST_BYTES`]): more passes than was asked for
/// only when peers send what nobody wants, and that must not stop a download for ever.
pub const DEBT_TIME: Duration = Duration::from_secs(60);

/// Where there was no limit and now is one, how long what is on its way already may keep more from being asked for.
pub const SWITCH_TIME: Duration = Duration::from_secs(2);

/// A limit that lets nothing pass is asked again after this at the earliest: a hundred times a second is often enough.
pub const LIMIT_TICK: Duration = Duration::from_millis(10);

/// Payload of a full TCP segment, in bytes: Ethernet's 1,500 without IPv4 and TCP headers and TCP's timestamps.
pub const SEGMENT_PAYLOAD: u64 = 1448;

/// IPv4 and TCP headers of a segment with timestamps, in bytes.
pub const SEGMENT_HEADERS: u64 = 52;

/// In the end game, a peer is asked for blocks that others were asked for while it has fewer requests than this. With 8,
/// and three peers for a block, twice as many blocks came in vain, and nobody was complete earlier.
pub const END_GAME_REQUESTS: usize = 4;

/// In the end game, how many pieces and blocks are looked at for one that a peer can be asked for; then it idles until
/// it is looked for again, from another piece on.
pub const END_GAME_SCAN: usize = 1024;

/// In the end game, how many peers are asked for the same block at once.
pub const END_GAME_COPIES: u8 = 2;

/// Requests that wait for each other to go to a peer together, at most: as many as fit into one TCP segment, and some room.
pub const REQUEST_BATCH: usize = 64;

/// Requests wait for each other from this window on, in blocks: of peers that are slower they cost little, and each that waits
/// is late.
pub const BATCH_FROM: usize = 128;

/// Time added to two round trips: while less than what the peer delivers in it is in flight, no request waits for others.
pub const BATCH_HEADROOM: Duration = Duration::from_millis(50);

/// Time added to two round trips when a request window is sized: what a peer or its disk may pause without the
/// connection running dry.
pub const WINDOW_HEADROOM: Duration = Duration::from_millis(500);

/// The same while pieces have a deadline, added to one round trip.
pub const DEADLINE_HEADROOM: Duration = Duration::from_millis(100);

/// After a `reject` while not choked, how long the peer is asked for nothing.
pub const REJECT_PAUSE: Duration = Duration::from_secs(1);

/// Choking is decided this often (BEP 3).
pub const CHOKE_INTERVAL: Duration = Duration::from_secs(10);

/// So many peers are served at once at least, if the owner allows as many.
pub const LEAST_SLOTS: usize = 4;

/// Another number of slots is tried for so many rounds of choking, of which the last is judged.
pub const SLOT_TRIAL_ROUNDS: u32 = 2;

/// The most rounds of choking between two trials of other numbers of slots.
pub const SLOT_WAIT_MAX: u32 = 30;

/// The optimistic slot moves on this often (BEP 3).
pub const OPTIMISTIC_INTERVAL: Duration = Duration::from_secs(30);

/// While fewer peers than this are served, those that only take are served too.
pub const MIN_SERVED: usize = 2;

/// Bytes that a peer gets before it has to give, or the length of a piece if that is more.
pub const CREDIT_BYTES: u64 = 256 << 10;

/// Of what it got, a peer that we want something of gives at least one part in so many, or it only takes.
pub const GIVES_ONE_IN: u64 = 8;

/// As a seed, how many pieces that nobody else had a peer gets before a quarter of them must have got to others.
pub const HOARD_PIECES: u32 = 4;

/// When a peer was given so many, half of them are forgotten.
pub const HOARD_MEMORY: u32 = 64;

/// As a seed, how long a peer keeps its slot when others wait.
pub const SEED_TURN: Duration = Duration::from_secs(60);

/// A connection on which nothing was sent for this long gets a keep-alive (BEP 3: before two minutes are over).
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(100);

/// Pieces that are there and that a seed is not told of yet. At the limit it is told of one more, and of them, at once.
pub const MAX_UNSAID: usize = 64;

/// A seed is told of a piece that is there after this time, or with the next thing that is said to it: it waits for none,
/// and each message wakes it up.
pub const HAVE_DELAY: Duration = Duration::from_secs(1);

/// A connection on which no message came for this long is closed (BEP 3 as practised).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(180);

/// A peer that lets our requests wait for this long is snubbed: they go to others, and it gets one at a time.
pub const SNUB_TIMEOUT: Duration = Duration::from_secs(60);

/// The same once its rate is known: at least this, and four times as long as its queue should take.
pub const SNUB_TIMEOUT_KNOWN: Duration = Duration::from_secs(20);

/// The same in the end game, where a slow peer holds up everything.
pub const SNUB_TIMEOUT_END_GAME: Duration = Duration::from_secs(4);

/// When every connection is taken and addresses wait, how long a peer that chokes us may send nothing before it makes
/// room for one of them (libtorrent's turnover is as long).
pub const TURNOVER_INTERVAL: Duration = Duration::from_secs(300);

/// The same while only the info-hash is known, of a peer that does not have the metadata.
pub const METADATA_TURNOVER_INTERVAL: Duration = Duration::from_secs(20);

/// [`Output::NeedPeers`](crate::Output::NeedPeers) is said at most this often.
pub const NEED_PEERS_INTERVAL: Duration = Duration::from_secs(30);

/// The first wait before an address is dialed again at which a peer was, or which the user gave; each failure doubles it.
/// For others it is [`DIAL_INTERVAL`].
pub const RETRY_MIN: Duration = Duration::from_secs(5);

/// The longest wait before an address is dialed again.
pub const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

/// The longest wait for an address that the user gave.
pub const RETRY_MAX_USER: Duration = Duration::from_secs(60);

/// A peer is told of others at most this often (BEP 11).
pub const EXCHANGE_INTERVAL: Duration = Duration::from_secs(60);

/// How long news of peers wait for more.
pub const EXCHANGE_DELAY: Duration = Duration::from_secs(2);

/// Peers that came, and peers that went, in one message (BEP 11); the others follow in the next. Of what the peers at one
/// host tell in any [`EXCHANGE_INTERVAL`] so many are taken, over however many connections.
pub const MAX_EXCHANGED: usize = 50;

/// Messages about peers that are remembered for [`EXCHANGE_INTERVAL`], so that one host is not heard more than
/// [`MAX_EXCHANGED`] lets. At the limit the oldest is forgotten.
pub const MAX_HEARD: usize = 4096;

/// Peers that one peer was told of and not told to be gone. At the limit it is told of no other.
pub const MAX_TOLD: usize = 200;

/// Messages about peers that one peer may send at once, though not more than one in [`EXCHANGE_INTERVAL`] in the long
/// run: they may have waited on their way. What comes beyond is ignored.
pub const EXCHANGE_BURST: u32 = 3;

/// So many of those, and the peer is disconnected.
pub const MAX_EXCHANGE_EXCESS: u32 = 100;

/// A peer may ask us this often to be brought together with another, or tell us to connect to one (BEP 55); what it says
/// beyond is ignored.
pub const RENDEZVOUS_INTERVAL: Duration = Duration::from_secs(5);

/// So many of them may come at once.
pub const RENDEZVOUS_BURST: u32 = 10;

/// Failures in a row after which an address is forgotten (not one that the user gave).
pub const MAX_FAILURES: u32 = 8;

/// The same if nobody but peers told it, and it never answered: they tell more than there is.
pub const MAX_FAILURES_TOLD: u32 = 2;

/// As a seed, how many of the rarest pieces are looked through for one that a peer does not have. If it has them all,
/// it is offered none.
pub const OFFER_SCAN: usize = 256;

/// Suggestions (BEP 6) of ours that a peer has not followed yet, and suggestions of one peer that are remembered. At
/// the limit we make no other; of a peer's, the oldest is forgotten.
pub const MAX_SUGGESTED: usize = 32;

/// As a seed, how long a piece is left to a peer that does not ask for it; then it is offered to others.
pub const OFFER_PATIENCE: Duration = Duration::from_secs(60);

/// Super seeding, pieces that one peer was shown and that nobody else has yet. At the limit it is shown no other.
pub const MAX_SHOWN_TO_ONE: usize = 32;

/// Super seeding, how long a peer may do nothing with a piece that it was shown, or keep it to itself, before it
/// or somebody else is shown another one.
pub const SHOW_PATIENCE: Duration = Duration::from_secs(30);

/// Super seeding, how long we idle before a peer is shown a piece though it has not passed on the one before.
pub const SHOW_IDLE: Duration = Duration::from_secs(1);

/// When super seeding ends, or metadata was found, a peer is told what we have in single messages if it is no more than this; else all at
/// once, late (other clients take that, but BEP 3 and 6 do not have it so).
pub const MAX_SINGLE_HAVES: u32 = 1000;

/// The longest metadata that is fetched, in bytes: as long as the longest torrent file that is read. A peer that claims
/// more, or none, is not asked.
///
/// One attempt at a time may hold that much, true or not: with [`ALL_UNPROVEN_PIECES`] and [`MAX_KEPT_BYTES`] it is what all
/// liars together can cost.
pub const MAX_METADATA_LEN: u32 = 64 << 20;

/// Pieces of metadata (16 KiB each, 1 MiB in all) that are kept of a length that nobody has proven. One attempt at a
/// time may hold more.
pub const UNPROVEN_PIECES: usize = 64;

/// Pieces of metadata (16 MiB) that all attempts but that one hold together. If there are so many that each would have
/// less than [`UNPROVEN_PIECES`], they share evenly, and what is longer takes turns.
pub const ALL_UNPROVEN_PIECES: usize = 1024;

/// How long an attempt waits before it may hold more, while peers contradict each other: time enough for what is short to
/// be proven, and for liars to be found out.
pub const FRONT_DELAY: Duration = Duration::from_secs(3);

/// How long the first turn of that attempt lasts while another waits; each further one lasts twice as long as the one
/// before. So a crowd of liars costs a second each, and slow lines get time enough in the end.
pub const FRONT_TURN: Duration = Duration::from_secs(1);

/// How long that attempt may get no further while another waits; then it loses what it holds beyond
/// [`UNPROVEN_PIECES`], however long its turn may last.
pub const FRONT_PATIENCE: Duration = Duration::from_secs(10);

/// Requests for metadata in flight to one peer: Transmission drops those beyond 64, libtorrent stops sending at 160 KiB.
pub const MAX_METADATA_ASKED: usize = 8;

/// How long a request for metadata may go unanswered. Then others are asked, and this peer not for twice as long, four
/// times with the next, and so on.
pub const METADATA_ANSWER_TIME: Duration = Duration::from_secs(5);

/// The longest pause for a peer that does not answer.
pub const METADATA_HOLD_MAX: Duration = Duration::from_secs(120);

/// How long a peer that rejects a request for metadata is not asked: it may not have it yet.
pub const METADATA_REJECT_PAUSE: Duration = Duration::from_secs(15);

/// When nothing else is left, a second peer is asked for a piece that one has not sent for so long.
pub const METADATA_COPY_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked at whether metadata is to be asked for, when nothing happens.
pub const METADATA_TICK: Duration = Duration::from_millis(500);

/// Lengths of which it is remembered who sent what, since it was wrong. At the limit the oldest is forgotten: who sent
/// it goes unpunished, and peers that claim it share an attempt once more.
pub const MAX_SPOILED_LENGTHS: usize = 64;

/// Bytes for what peers say that they have, before it is known how many pieces there are. Beyond it, the host that said
/// most is disconnected, as far as that is needed.
pub const MAX_KEPT_BYTES: usize = 16 << 20;

/// Requests for metadata of one peer that wait to be met; more are rejected.
pub const MAX_METADATA_QUEUE: usize = 64;

/// How often one connection may have all of the metadata; what it asks for beyond is rejected.
pub const MAX_METADATA_COPIES: u32 = 4;

/// Bytes of metadata per second that all peers together get, or as many as may be sent at all.
pub const METADATA_RATE: u64 = 4 << 20;
