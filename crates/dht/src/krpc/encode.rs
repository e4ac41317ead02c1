//! To bytes.

use super::{Answer, Method, Sample, Signed, VERSION, Want};
use crate::addr::{compact, put_contact};
use crate::limits::{MAX_ANSWER_LEN, MAX_ITEM_ANSWER_LEN};
use crate::{Contact, NodeId};
use alloc::vec::Vec;
use bencode::{DictEncoder, encode_dict};
use core::net::SocketAddr;

/// A query.
pub(crate) fn encode_query(
    transaction: &[u8],
    id: &NodeId,
    read_only: bool,
    want: Option<Want>,
    method: &Method<'_>,
) -> Vec<u8> {
    encode_dict(|d| {
        d.dict("a", |a| {
            a.bytes("id", id.0);
            put_arguments(a, method);
            if let Some(want) = want {
                a.list("want", |list| {
                    [(want.v4, "n4"), (want.v6, "n6")]
                        .iter()
                        .filter(|(is, _)| *is)
                        .for_each(|(_, n)| list.bytes(n));
                });
            }
        });
        d.bytes("q", method.name());
        if read_only {
            d.int("ro", 1);
        }
        d.bytes("t", transaction);
        d.bytes("v", VERSION);
        d.bytes("y", "q");
    })
}

fn put_arguments(a: &mut DictEncoder<'_>, method: &Method<'_>) {
    let flag = |a: &mut DictEncoder<'_>, key: &str, is: bool| {
        if is {
            a.int(key, 1);
        }
    };
    match *method {
        Method::Ping | Method::Unknown { .. } => {}
        Method::FindNode { target } | Method::SampleInfohashes { target } => a.bytes("target", target.0),
        Method::GetPeers { info_hash, noseed, scrape } => {
            a.bytes("info_hash", info_hash.0);
            flag(a, "noseed", noseed);
            flag(a, "scrape", scrape);
        }
        Method::AnnouncePeer { info_hash, port, implied_port, seed, token } => {
            a.bytes("info_hash", info_hash.0);
            flag(a, "implied_port", implied_port);
            // Who does not know `implied_port` takes this one.
            a.int("port", port);
            flag(a, "seed", seed);
            a.bytes("token", token);
        }
        Method::Get { target, seq } => {
            a.bytes("target", target.0);
            if let Some(seq) = seq {
                a.int("seq", seq);
            }
        }
        Method::Put(put) => {
            a.bytes("token", put.token);
            put_value(a, put.value);
            if let Some(Signed { salt, seq, .. }) = put.signed {
                a.int("seq", seq);
                if !salt.is_empty() {
                    a.bytes("salt", salt);
                }
            }
            put_signed(a, put.signed);
            if let Some(cas) = put.cas {
                a.int("cas", cas);
            }
        }
    }
}

/// A value that was checked to be canonical bencode, as it is.
fn put_value(dict: &mut DictEncoder<'_>, value: &[u8]) {
    if let Ok(document) = bencode::decode(value) {
        dict.value("v", document.root());
    }
}

fn put_signed(dict: &mut DictEncoder<'_>, signed: Option<Signed<'_>>) {
    if let Some(signed) = signed {
        dict.bytes("k", signed.key);
        dict.bytes("sig", signed.signature);
    }
}

/// A refusal.
pub(crate) fn encode_error(transaction: &[u8], to: &SocketAddr, code: i64, text: &str) -> Vec<u8> {
    encode_dict(|d| {
        d.list("e", |e| {
            e.int(code);
            e.bytes(text);
        });
        d.bytes("ip", compact(to));
        d.bytes("t", transaction);
        d.bytes("v", VERSION);
        d.bytes("y", "e");
    })
}

impl Answer<'_> {
    /// The answer to `to`, cut to what a datagram may have: the nodes that fit, rather those of its own family (BEP 33),
    /// and then as many peers as fit.
    pub(crate) fn encode(mut self, transaction: &[u8], to: &SocketAddr, id: &NodeId) -> Vec<u8> {
        let peers = core::mem::take(&mut self.values);
        let mut bytes = self.encode_all(transaction, to, id);
        let most = if self.value.is_some() { MAX_ITEM_ANSWER_LEN } else { MAX_ANSWER_LEN };
        for is_other in [true, false] {
            if bytes.len() > most {
                *(if to.is_ipv4() == is_other { &mut self.nodes6 } else { &mut self.nodes }) = None;
                bytes = self.encode_all(transaction, to, id);
            }
        }
        // A list, its key, and one string a peer.
        let room = MAX_ANSWER_LEN.saturating_sub(bytes.len() + "6:valueslee".len());
        let each = if to.is_ipv4() { "6:".len() + 6 } else { "18:".len() + 18 };
        if peers.is_empty() || room < each {
            return bytes;
        }
        self.values = peers;
        self.values.truncate(room / each);
        self.encode_all(transaction, to, id)
    }

    fn encode_all(&self, transaction: &[u8], to: &SocketAddr, id: &NodeId) -> Vec<u8> {
        encode_dict(|d| {
            d.bytes("ip", compact(to));
            d.dict("r", |r| {
                r.bytes("id", id.0);
                self.put(r);
            });
            d.bytes("t", transaction);
            d.bytes("v", VERSION);
            d.bytes("y", "r");
        })
    }

    fn put(&self, r: &mut DictEncoder<'_>) {
        for (key, nodes) in [("nodes", &self.nodes), ("nodes6", &self.nodes6)] {
            if let Some(nodes) = nodes {
                r.bytes(key, compact_nodes(nodes));
            }
        }
        if let Some(token) = self.token {
            r.bytes("token", token);
        }
        if !self.values.is_empty() {
            r.list("values", |list| self.values.iter().for_each(|peer| list.bytes(compact(peer))));
        }
        if let Some((seeds, peers)) = &self.blooms {
            r.bytes("BFsd", seeds.as_bytes());
            r.bytes("BFpe", peers.as_bytes());
        }
        if let Some(value) = self.value {
            put_value(r, value);
        }
        put_signed(r, self.signed);
        if let Some(seq) = self.signed.map(|signed| signed.seq).or(self.seq) {
            r.int("seq", seq);
        }
        if let Some(Sample { samples, num, interval }) = self.sample {
            let int = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            r.int("interval", int(interval));
            r.int("num", int(num));
            r.bytes("samples", samples);
        }
    }
}

fn compact_nodes(nodes: &[Contact]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nodes.len() * 38);
    nodes.iter().for_each(|node| put_contact(&mut out, node));
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Put, decode, parse};
    use super::*;
    use crate::Bloom;

    const ID: NodeId = NodeId([7; 20]);

    fn round_trip(method: Method<'_>) {
        let want = Some(Want { v4: true, v6: false });
        let bytes = encode_query(b"tx", &ID, true, want, &method);
        let document = decode(&bytes).unwrap();
        assert_eq!(document.irregularity(), None);
        let packet = parse(&document).unwrap();
        assert_eq!((packet.transaction, packet.version), (&b"tx"[..], Some(&VERSION[..])));
        let Body::Query(query) = packet.body else { panic!("{packet:?}") };
        assert_eq!((query.id, query.read_only, query.want, query.method), (ID, true, want, method));
    }

    #[test]
    fn queries_go_both_ways() {
        let target = NodeId([9; 20]);
        let signed = Signed { key: &[1; 32], salt: b"salt", seq: 4, signature: &[2; 64] };
        round_trip(Method::Ping);
        round_trip(Method::FindNode { target });
        round_trip(Method::GetPeers { info_hash: target, noseed: true, scrape: true });
        for (implied_port, seed) in [(true, true), (false, false)] {
            let (port, token) = (6881, &b"tok"[..]);
            round_trip(Method::AnnouncePeer { info_hash: target, port, implied_port, seed, token });
        }
        round_trip(Method::Get { target, seq: Some(3) });
        round_trip(Method::Put(Put { token: b"tok", value: b"5:value", signed: None, cas: None }));
        round_trip(Method::Put(Put { token: b"tok", value: b"li1ee", signed: Some(signed), cas: Some(3) }));
        round_trip(Method::SampleInfohashes { target });
    }

    #[test]
    fn answers_fit_into_a_datagram() {
        let to: SocketAddr = "[2001:db8::1]:6881".parse().unwrap();
        let node = |n: u8| Contact { id: NodeId([n; 20]), addr: to };
        let nodes: Vec<Contact> = (0..8).map(node).collect();
        let peers: Vec<SocketAddr> = (1..1000).map(|port| SocketAddr::new(to.ip(), port)).collect();
        let answer = Answer {
            nodes6: Some(nodes.clone()),
            values: peers,
            blooms: Some((Bloom::EMPTY, Bloom::EMPTY)),
            token: Some([1; crate::limits::TOKEN_LEN]),
            ..Answer::default()
        };
        let bytes = answer.encode(b"abcd", &to, &ID);
        assert!(bytes.len() <= MAX_ANSWER_LEN && bytes.len() > MAX_ANSWER_LEN - 40, "{}", bytes.len());
        let document = decode(&bytes).unwrap();
        let Body::Response(response) = parse(&document).unwrap().body else { panic!("no response") };
        assert_eq!(response.nodes6.len(), 8 * 38);
        assert!(!response.values.is_empty());

        let v4 = |n: u8| Contact { id: NodeId([n; 20]), addr: SocketAddr::from(([1, 2, 3, n], 6881)) };
        let both = || Answer {
            nodes: Some((0..8).map(v4).collect()),
            nodes6: Some(nodes.clone()),
            ..Answer::default()
        };
        let scrape = || Answer {
            blooms: Some((Bloom::EMPTY, Bloom::EMPTY)),
            token: Some([1; crate::limits::TOKEN_LEN]),
            values: [to].into(),
            ..both()
        };
        let samples = [7; 20 * crate::limits::MAX_ANSWER_SAMPLES];
        let sample = || Answer {
            sample: Some(Sample { samples: &samples, num: u64::MAX, interval: 21_600 }),
            ..both()
        };
        for asker in [to, SocketAddr::from(([80, 1, 2, 3], 1))] {
            for answer in [scrape(), sample()] {
                let bytes = answer.encode(&[b't'; 32], &asker, &ID);
                assert!(bytes.len() <= MAX_ANSWER_LEN, "{}", bytes.len());
                let document = decode(&bytes).unwrap();
                let Body::Response(response) = parse(&document).unwrap().body else { panic!("no response") };
                let lens = if asker.is_ipv4() { (8 * 26, 0) } else { (0, 8 * 38) };
                assert_eq!((response.nodes.len(), response.nodes6.len()), lens, "those of its own family");
            }
        }

        let value = alloc::format!("996:{}", "x".repeat(996));
        let signed = Signed { key: &[1; 32], salt: b"", seq: i64::MAX, signature: &[2; 64] };
        let item = Answer {
            nodes: Some(nodes.clone()),
            nodes6: Some(nodes),
            value: Some(value.as_bytes()),
            signed: Some(signed),
            token: Some([1; crate::limits::TOKEN_LEN]),
            ..Answer::default()
        };
        let bytes = item.encode(&[b't'; 32], &to, &ID);
        assert!(bytes.len() <= MAX_ITEM_ANSWER_LEN, "{}", bytes.len());
    }
}
