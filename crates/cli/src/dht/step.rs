//! The steps of a lookup, for programs and for people.

use super::Item;
use crate::paint::{Look, Paint};
use crate::text::counted;
use api::units::hex;
use dht::{Gave, Hop, ID_BITS, LookupEvent, NodeId};
use serde::Serialize;
use std::time::Duration;

/// One line of `dht --json`: the keys are a contract, an absent value is null.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    /// A node is asked.
    Query(At),
    /// A node answered.
    Answer {
        #[serde(flatten)]
        at: At,
        /// Seconds.
        round_trip: f64,
        /// Nodes that it named, and those of them that nobody had named before.
        nodes: usize,
        new_nodes: usize,
        peers: usize,
        samples: usize,
        token: bool,
        item: bool,
    },
    /// A node refused: an error of BEP 5 or 44.
    Refusal {
        #[serde(flatten)]
        at: At,
        code: i64,
        message: String,
    },
    /// A node did not answer in time.
    Timeout(At),
    /// Peers that were not told of before.
    Peers { time: f64, from: String, peers: Vec<String> },
    /// Info hashes that were not told of before, of `total` that the node has; the same for `interval` seconds.
    Sample { time: f64, from: String, info_hashes: Vec<String>, total: u64, interval: u64 },
    /// A node is asked to store.
    Store(At),
    /// A node stored.
    Stored(At),
    /// An item was found; `key` and `seq` are of a mutable one, `value` is its text if it is text.
    Item {
        time: f64,
        target: String,
        key: Option<String>,
        seq: Option<i64>,
        value: Option<String>,
        /// The value as it is bencoded, in hex.
        bencoded: String,
    },
    /// What is going to be stored, and under which name.
    Put { target: String, key: Option<String>, seq: Option<i64> },
    /// About how many there are, by what so many nodes say.
    Scrape { seeds: f64, downloaders: f64, nodes: usize },
    /// A lookup is over.
    Done {
        time: f64,
        target: String,
        peers: usize,
        hops: u8,
        queries: usize,
        answers: usize,
        stored: usize,
        copies: usize,
        /// Leading bits that the closest node that answered has in common with the target.
        bits: Option<usize>,
    },
}

/// When and where a step was.
#[derive(Debug, Serialize)]
pub(super) struct At {
    /// Seconds since the start.
    time: f64,
    /// How many nodes led there, itself included.
    hop: u8,
    addr: String,
    id: Option<String>,
    /// Leading bits that its id has in common with the target.
    bits: Option<usize>,
}

impl At {
    fn new(time: Duration, hop: &Hop) -> At {
        At {
            time: rounded(time),
            hop: hop.depth,
            addr: hop.addr.to_string(),
            id: hop.id.map(|id| id.to_string()),
            bits: hop.distance_bits.map(|bits| ID_BITS - usize::from(bits)),
        }
    }
}

impl Line {
    /// The step that an event is; an item and the end are told by who waits for them.
    pub(super) fn of(time: Duration, event: &LookupEvent) -> Option<Line> {
        let seconds = rounded(time);
        Some(match event {
            LookupEvent::Queried(hop) => Line::Query(At::new(time, hop)),
            LookupEvent::Answered { hop, round_trip, gave } => {
                let Gave { nodes, new_nodes, peers, samples, token, item } = *gave;
                let (at, round_trip) = (At::new(time, hop), rounded(*round_trip));
                Line::Answer { at, round_trip, nodes, new_nodes, peers, samples, token, item }
            }
            LookupEvent::Refused { hop, code, text } => {
                Line::Refusal { at: At::new(time, hop), code: *code, message: text.clone() }
            }
            LookupEvent::TimedOut(hop) => Line::Timeout(At::new(time, hop)),
            LookupEvent::Peers { from, peers } => {
                let peers = peers.iter().map(ToString::to_string).collect();
                Line::Peers { time: seconds, from: from.to_string(), peers }
            }
            LookupEvent::Sample { from, samples, num, interval } => Line::Sample {
                time: seconds,
                from: from.to_string(),
                info_hashes: samples.iter().map(ToString::to_string).collect(),
                total: *num,
                interval: interval.as_secs(),
            },
            LookupEvent::Storing(hop) => Line::Store(At::new(time, hop)),
            LookupEvent::Stored(hop) => Line::Stored(At::new(time, hop)),
            LookupEvent::Immutable { .. } | LookupEvent::Mutable { .. } | LookupEvent::Done(_) => {
                return None;
            }
        })
    }

    /// An item, as it was found.
    pub(super) fn item(time: Duration, target: &NodeId, found: &Item) -> Line {
        Line::Item {
            time: rounded(time),
            target: target.to_string(),
            key: found.key.map(|key| hex(&key)),
            seq: found.seq,
            value: found.text().map(str::to_owned),
            bencoded: hex(&found.value),
        }
    }

    /// A row of the picture of a lookup, under [`HEADER`]; what is no step has none.
    pub(super) fn row(&self, paint: Paint) -> Option<String> {
        let row = |look, at: &At, sign: &str, what: String| {
            let bits = at.bits.map_or("?".into(), |bits| bits.to_string());
            let At { time, hop, addr, .. } = at;
            let row = format!("{time:>8.3} {hop:>4} {bits:>5}  {sign} {addr:<21} {what}");
            Some(format!("{}\n", paint.paint(look, row.trim_end())))
        };
        match self {
            Line::Query(at) => row(Look::Dim, at, "->", String::new()),
            Line::Answer { at, round_trip, nodes, new_nodes, peers, samples, item, .. } => {
                let mut gave = format!("{:.1} ms: {}", round_trip * 1000.0, counted(*nodes as u64, "node"));
                gave += &format!(" ({new_nodes} new)");
                for (count, noun) in [(*peers, "peer"), (*samples, "info hash"), (usize::from(*item), "item")]
                {
                    if count > 0 {
                        gave += &format!(", {}", counted(count as u64, noun).replace("hashs", "hashes"));
                    }
                }
                row(Look::Green, at, "<-", gave)
            }
            Line::Refusal { at, code, message } => {
                row(Look::Yellow, at, "<-", format!("refused: {code} {message}"))
            }
            Line::Timeout(at) => row(Look::Yellow, at, "  ", "no answer".into()),
            Line::Store(at) => row(Look::Dim, at, "->", "store".into()),
            Line::Stored(at) => row(Look::Green, at, "<-", "stored".into()),
            _ => None,
        }
    }
}

/// Over the rows of [`Line::row`]: `bits` are the leading ones that a node's id and the target have in common.
pub(super) const HEADER: &str = "    time  hop  bits     node\n";

/// Seconds with three decimals.
pub(super) fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
