//! Every limit and period of a node, and what happens when one is reached.

use core::time::Duration;

/// `k`: nodes of a bucket, nodes that an answer names, nodes that something is stored at (BEP 5).
pub const K: usize = 8;

/// Nodes that wait to take the place of one of a bucket. At the limit the one that was heard of least recently is
/// forgotten.
pub const REPLACEMENTS: usize = 8;

/// A node is good for this long after its last answer, or after its last query if it ever answered (BEP 5); then it is
/// questionable, and is asked. A bucket in which nothing changed for this long is refreshed.
pub const QUESTIONABLE_AFTER: Duration = Duration::from_secs(15 * 60);

/// Queries in a row without an answer after which a node is bad: others take its place, and nobody is told of it.
pub const MAX_FAILURES: u8 = 2;

/// How long a node that did not answer is left alone before it is asked whether it is still there.
pub const RECHECK_AFTER: Duration = Duration::from_secs(30);

/// Nodes that are to be asked whether they are there. At the limit a new one is not asked.
pub const MAX_PINGS: usize = 64;

/// How often a node looks after its tables.
pub const TICK: Duration = Duration::from_secs(5);

/// How many questionable nodes of a table are asked at a time, each tick.
pub const PINGS_PER_TICK: usize = 4;

/// Good nodes of a table with fewer of which it is filled again from the bootstrap nodes.
pub const ENOUGH_NODES: usize = 3;

/// The first wait between two attempts to fill a table; each one in vain doubles it.
pub const BOOTSTRAP_RETRY_MIN: Duration = Duration::from_secs(5);

/// The longest wait between two attempts to fill a table.
pub const BOOTSTRAP_RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// Nodes that were saved, for each table: where to begin while it is empty. Further ones are passed over.
pub const MAX_STARTERS: usize = 256;

/// Nodes that the owner names, for each table, that wait to be asked. At the limit one more is passed over: peers name
/// them, too, and are to push out nobody.
pub const MAX_NAMED_NODES: usize = 64;

/// Saved nodes that one lookup begins with; the next one takes others. They may all be gone, and bootstrap nodes are to
/// have their place.
pub const MAX_SAVED_ASKED: usize = 32;

/// How much of a datagram is read: 1,024 bytes by BEP 32, and what others send beyond it.
pub const DATAGRAM: bencode::Limits = bencode::Limits { max_input: 4096, max_depth: 32, max_values: 2048 };

/// The longest transaction id that is repeated. A query with a longer one is dropped: nobody needs it.
pub const MAX_TRANSACTION_LEN: usize = 32;

/// Peers of one answer that are read; more are ignored.
pub const MAX_VALUES: usize = 256;

/// Nodes of one answer, for each family, that are read; more are ignored. An honest one names eight.
pub const MAX_NODES: usize = 16;

/// Info-hashes of one answer that are read; more are ignored.
pub const MAX_SAMPLES: usize = 64;

/// The longest answer, in bytes (BEP 32): as many peers are named as fit.
pub const MAX_ANSWER_LEN: usize = 1024;

/// The longest answer with an item, in bytes: what the longest item needs. Nodes are named if they fit.
pub const MAX_ITEM_ANSWER_LEN: usize = 1280;

/// Queries in flight. At the limit lookups wait.
pub const MAX_QUERIES: usize = 512;

/// Queries in flight of one lookup that may still be answered in time: `alpha`.
pub const ALPHA: usize = 4;

/// A query that is not answered within this makes room for another. Its answer still counts, and is waited for while
/// fewer than [`K`] nodes have answered. It is sent a second time if its lookup has nobody else to ask, or if its node asks
/// us something.
pub const SLOW_AFTER: Duration = Duration::from_millis(1500);

/// A query that is not answered within this failed.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

/// Lookups at once, those of the owner and those of the node itself; one more of the owner ends at once
/// ([`Outcome::busy`](crate::Outcome::busy)), one of the node waits for its next turn.
pub const MAX_LOOKUPS: usize = 128;

/// Nodes that one lookup keeps in mind. At the limit the farthest is forgotten.
pub const MAX_CANDIDATES: usize = 128;

/// Nodes of one neighbourhood (/24, /56) that one lookup keeps in mind, for each that may count among the closest; one
/// more is ignored unless it is closer than one that was not asked yet.
pub const MAX_CANDIDATES_PER_SUBNET: usize = 4;

/// Queries of one lookup, those that store not counted. At the limit it ends with what it has.
pub const MAX_LOOKUP_QUERIES: usize = 300;

/// Addresses beyond which a filter tells nothing (BEP 33): one that seems to have more is passed over.
pub const MAX_BLOOM_ESTIMATE: f64 = 6000.0;

/// Different peers, or info-hashes, that one lookup reports. At the limit others are dropped.
pub const MAX_FOUND: usize = 4096;

/// Bytes of a token.
pub const TOKEN_LEN: usize = 8;

/// The longest token of others that is kept; who sends a longer one is not stored at.
pub const MAX_TOKEN_LEN: usize = 128;

/// Tokens are made from a secret that changes this often; the last but one is accepted too (BEP 5).
pub const TOKEN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Torrents that peers are stored of. At the limit the one that is farthest from us makes room for one that is closer;
/// others get no token.
pub const MAX_TORRENTS: usize = 2000;

/// Peers of one torrent; one more gets no token (BEP 33: at 6,000 a filter has nothing more to tell).
pub const MAX_TORRENT_PEERS: usize = 2000;

/// Peers of all torrents together; one more gets no token.
pub const MAX_PEERS: usize = 100_000;

/// Torrents that one host is stored as a peer of. At the limit it is refused: of those that an honest one takes part in,
/// few are near one node.
pub const MAX_TORRENTS_PER_HOST: usize = 50;

/// How long a peer is stored. Clients announce every half hour or sooner.
pub const PEER_LIFETIME: Duration = Duration::from_secs(45 * 60);

/// Peers that an answer names at most; a random choice if there are more.
pub const MAX_ANSWER_PEERS: usize = 100;

/// Items (BEP 44) that are stored. At the limit the one that is farthest from us makes room for one that is closer;
/// others are refused.
pub const MAX_ITEMS: usize = 1000;

/// Items that one host was the first to store. At the limit it is refused.
pub const MAX_ITEMS_PER_HOST: usize = 50;

/// How long an item is stored (BEP 44).
pub const ITEM_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The longest value of an item, bencoded (BEP 44).
pub const MAX_ITEM_LEN: usize = 1000;

/// What is read as an item's value: less deep than [`DATAGRAM`], in which it is to fit with what is around it.
pub const ITEM: bencode::Limits =
    bencode::Limits { max_input: MAX_ITEM_LEN, max_depth: 24, max_values: 1000 };

/// The longest salt of an item (BEP 44).
pub const MAX_SALT_LEN: usize = 64;

/// Info-hashes in an answer to `sample_infohashes`: 20 bytes each.
pub const MAX_ANSWER_SAMPLES: usize = 20;

/// For how long a sample stays the same, if there are more than fit into it (BEP 51).
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Over how long the queries of one host are counted.
pub const SOURCE_WINDOW: Duration = Duration::from_secs(10);

/// Queries of one host that are answered within [`SOURCE_WINDOW`]; more are dropped.
pub const MAX_SOURCE_QUERIES: u32 = 100;

/// Bytes that one host is answered with within [`SOURCE_WINDOW`], before queries are dropped: an address may be forged,
/// and its owner is to get no flood from us.
pub const MAX_SOURCE_BYTES: u32 = 32 << 10;

/// Hosts whose queries are counted one by one. At the limit others share counters.
pub const MAX_SOURCES: usize = 2048;

/// Counters that hosts beyond [`MAX_SOURCES`] share, as a keyed hash has it.
pub const SHARED_SOURCES: usize = 1024;

/// What hosts say about our address, for each family: the latest voices of so many neighbourhoods. At the limit the
/// oldest is forgotten.
pub const MAX_EXTERNAL_VOTES: usize = 16;

/// Neighbourhoods that must say the same about our address before it is believed.
pub const EXTERNAL_QUORUM: usize = 4;

/// How long we keep an id at least before we take one that fits another address.
pub const MIN_ID_AGE: Duration = Duration::from_secs(10 * 60);
