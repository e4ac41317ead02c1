//! From bytes. Whatever a stranger sends is either a packet or refused; nothing panics.

use super::{Body, Method, Packet, Put, Query, Response, Sample, Signed, Want, code};
use crate::addr::parse_compact;
use crate::limits::{DATAGRAM, MAX_TRANSACTION_LEN, MAX_VALUES};
use crate::{Bloom, NodeId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bencode::{Document, Value};

/// A message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// To be repeated in the refusal; `None` if it is no query, and nobody is to be told.
    pub transaction: Option<&'a [u8]>,
    /// The code to refuse it with.
    pub code: i64,
    /// What is wrong.
    pub why: &'static str,
}

/// Makes a document of a datagram; bytes after it are passed over, as libtorrent does.
///
/// # Errors
/// It is no bencode, or beyond the limits of a datagram.
pub fn decode(datagram: &[u8]) -> Result<Document<'_>, bencode::Error> {
    bencode::decode_prefix(datagram, DATAGRAM).map(|(document, _)| document)
}

/// Reads a document as a packet.
///
/// # Errors
/// It is not one, or a query without what it needs.
pub fn parse<'d>(document: &'d Document<'_>) -> Result<Packet<'d>, Malformed<'d>> {
    let root = document.root();
    let silent = |why| Malformed { transaction: None, code: code::PROTOCOL, why };
    let transaction = bytes(root, "t").filter(|t| t.len() <= MAX_TRANSACTION_LEN);
    let transaction = transaction.ok_or(silent("no transaction id"))?;
    let body = match bytes(root, "y") {
        Some(b"q") => Body::Query(parse_query(root).map_err(|(code, why)| Malformed {
            transaction: Some(transaction),
            code,
            why,
        })?),
        Some(b"r") => {
            let response = root.get("r").and_then(parse_response);
            Body::Response(response.ok_or(silent("a response without an id"))?)
        }
        Some(b"e") => parse_error(root),
        _ => return Err(silent("neither query, response nor error")),
    };
    let ip = bytes(root, "ip").and_then(parse_compact);
    Ok(Packet { transaction, version: bytes(root, "v"), ip, body })
}

type Refusal = (i64, &'static str);

fn parse_query(root: Value<'_>) -> Result<Query<'_>, Refusal> {
    let name = bytes(root, "q").ok_or((code::PROTOCOL, "no method"))?;
    let args = root.get("a").ok_or((code::PROTOCOL, "no arguments"))?;
    let id = node_id(args, "id").ok_or((code::PROTOCOL, "no id of 20 bytes"))?;
    let read_only = flag(root, "ro");
    let want = args.get("want").and_then(Value::as_list).map(|list| {
        list.fold(Want::default(), |want, item| match item.as_bytes() {
            Some(b"n4") => Want { v4: true, ..want },
            Some(b"n6") => Want { v6: true, ..want },
            _ => want,
        })
    });
    let method = parse_method(name, args)?;
    Ok(Query { id, read_only, want, method })
}

fn parse_method<'d>(name: &[u8], args: Value<'d>) -> Result<Method<'d>, Refusal> {
    let target = || node_id(args, "target").ok_or((code::PROTOCOL, "no target of 20 bytes"));
    let info_hash = || node_id(args, "info_hash").ok_or((code::PROTOCOL, "no info_hash of 20 bytes"));
    let token = || bytes(args, "token").ok_or((code::PROTOCOL, "no token"));
    Ok(match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: target()? },
        b"get_peers" => Method::GetPeers {
            info_hash: info_hash()?,
            noseed: flag(args, "noseed"),
            scrape: flag(args, "scrape"),
        },
        b"announce_peer" => Method::AnnouncePeer {
            info_hash: info_hash()?,
            port: parse_port(args)?,
            implied_port: flag(args, "implied_port"),
            seed: flag(args, "seed"),
            token: token()?,
        },
        b"get" => Method::Get { target: target()?, seq: int(args, "seq") },
        b"put" => Method::Put(parse_put(args, token()?)?),
        b"sample_infohashes" => Method::SampleInfohashes { target: target()? },
        _ => Method::Unknown { target: target().or(info_hash()).ok() },
    })
}

/// The port that is announced; if it does not count, 0 will do.
fn parse_port(args: Value<'_>) -> Result<u16, Refusal> {
    let port = int(args, "port").and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    if port == 0 && !flag(args, "implied_port") {
        return Err((code::PROTOCOL, "no port from 1 to 65535"));
    }
    Ok(port)
}

fn parse_put<'d>(args: Value<'d>, token: &'d [u8]) -> Result<Put<'d>, Refusal> {
    let value = args.get("v").ok_or((code::PROTOCOL, "no value"))?.raw();
    let signed = match args.get("k") {
        None => None,
        Some(key) => Some(Signed {
            key: array(key.as_bytes()).ok_or((code::PROTOCOL, "no key of 32 bytes"))?,
            salt: bytes(args, "salt").unwrap_or_default(),
            seq: int(args, "seq").filter(|seq| *seq >= 0).ok_or((code::PROTOCOL, "no sequence number"))?,
            signature: array(bytes(args, "sig")).ok_or((code::BAD_SIGNATURE, "no signature of 64 bytes"))?,
        }),
    };
    Ok(Put { token, value, signed, cas: int(args, "cas") })
}

fn parse_response(r: Value<'_>) -> Option<Response<'_>> {
    let blooms = || {
        let filter = |key| bytes(r, key).and_then(Bloom::from_slice);
        Some(Box::new((filter("BFsd")?, filter("BFpe")?)))
    };
    let values = r.get("values").and_then(Value::as_list);
    let peers = values.map(|list| {
        list.take(MAX_VALUES).filter_map(|peer| peer.as_bytes().and_then(parse_compact)).collect::<Vec<_>>()
    });
    let uint = |key| r.get(key).and_then(Value::as_uint);
    Some(Response {
        id: node_id(r, "id")?,
        nodes: bytes(r, "nodes").unwrap_or_default(),
        nodes6: bytes(r, "nodes6").unwrap_or_default(),
        token: bytes(r, "token"),
        values: peers.unwrap_or_default(),
        blooms: blooms(),
        value: r.get("v").map(Value::raw),
        key: array(bytes(r, "k")),
        signature: array(bytes(r, "sig")),
        seq: int(r, "seq"),
        sample: bytes(r, "samples").map(|samples| Sample {
            samples,
            num: uint("num").unwrap_or(0),
            interval: uint("interval").unwrap_or(0).min(21_600),
        }),
    })
}

fn parse_error(root: Value<'_>) -> Body<'_> {
    let mut list = root.get("e").and_then(Value::as_list);
    let mut next = || list.as_mut().and_then(Iterator::next);
    let code = next().and_then(Value::as_int).unwrap_or(0);
    Body::Error { code, text: next().and_then(Value::as_bytes).unwrap_or_default() }
}

fn bytes<'d>(dict: Value<'d>, key: &str) -> Option<&'d [u8]> {
    dict.get(key)?.as_bytes()
}

fn int(dict: Value<'_>, key: &str) -> Option<i64> {
    dict.get(key)?.as_int()
}

fn flag(dict: Value<'_>, key: &str) -> bool {
    int(dict, key).is_some_and(|value| value != 0)
}

fn node_id(dict: Value<'_>, key: &str) -> Option<NodeId> {
    bytes(dict, key).and_then(NodeId::from_slice)
}

fn array<const N: usize>(bytes: Option<&[u8]>) -> Option<&[u8; N]> {
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::ToOwned;
    use std::format;

    fn query(text: &str) -> Result<Method<'static>, Refusal> {
        let bytes: &'static [u8] = text.to_owned().leak().as_bytes();
        let document: &'static Document<'static> = Box::leak(Box::new(decode(bytes).unwrap()));
        match parse(document) {
            Ok(Packet { body: Body::Query(query), .. }) => Ok(query.method),
            Ok(other) => panic!("{other:?}"),
            Err(malformed) => {
                assert_eq!(malformed.transaction, Some(&b"aa"[..]));
                Err((malformed.code, malformed.why))
            }
        }
    }

    const ID: &str = "2:id20:abcdefghij0123456789";

    /// The examples of BEP 5.
    #[test]
    fn the_queries_of_bep_5() {
        let target = NodeId(*b"mnopqrstuvwxyz123456");
        let of = |name: &str, args: &str| {
            query(&format!("d1:ad{ID}{args}e1:q{}:{name}1:t2:aa1:y1:qe", name.len()))
        };
        assert_eq!(of("ping", ""), Ok(Method::Ping));
        assert_eq!(of("find_node", "6:target20:mnopqrstuvwxyz123456"), Ok(Method::FindNode { target }));
        assert_eq!(
            of("get_peers", "9:info_hash20:mnopqrstuvwxyz123456"),
            Ok(Method::GetPeers { info_hash: target, noseed: false, scrape: false })
        );
        let announce = |rest: &str| of("announce_peer", &format!("{rest}5:token8:aoeusnth"));
        let expected = |port, implied_port| {
            let (info_hash, seed, token) = (target, false, &b"aoeusnth"[..]);
            Method::AnnouncePeer { info_hash, port, implied_port, seed, token }
        };
        let hash = "9:info_hash20:mnopqrstuvwxyz123456";
        assert_eq!(announce(&format!("12:implied_porti1e{hash}4:porti6881e")), Ok(expected(6881, true)));
        assert_eq!(announce(&format!("12:implied_porti1e{hash}")), Ok(expected(0, true)));
        assert_eq!(announce(&format!("{hash}4:porti6881e")), Ok(expected(6881, false)));
        for port in ["0", "-1", "65536", "70000"] {
            assert_eq!(announce(&format!("{hash}4:porti{port}e")).unwrap_err().0, code::PROTOCOL, "{port}");
        }
        assert_eq!(of("find_node", "").unwrap_err().0, code::PROTOCOL);
        assert_eq!(of("find_node", "6:target3:abc").unwrap_err().0, code::PROTOCOL);
        assert_eq!(
            of("vote", "6:target20:mnopqrstuvwxyz123456"),
            Ok(Method::Unknown { target: Some(target) })
        );
        assert_eq!(of("vote", hash), Ok(Method::Unknown { target: Some(target) }));
        assert_eq!(of("vote", ""), Ok(Method::Unknown { target: None }));
    }

    #[test]
    fn what_is_no_query_is_refused_in_silence() {
        for text in ["de", "d1:t2:aae", "d1:t2:aa1:y1:re", "d1:rde1:t2:aa1:y1:re", "le", "i1e", "d1:y1:qe"] {
            let document = decode(text.as_bytes()).unwrap();
            assert_eq!(parse(&document).unwrap_err().transaction, None, "{text}");
        }
        let long = format!("d1:t33:{}1:y1:qe", "t".repeat(33));
        let document = decode(long.as_bytes()).unwrap();
        assert_eq!(parse(&document).unwrap_err().transaction, None);
    }

    #[test]
    fn bytes_after_a_message_are_no_fault() {
        let text = format!("d1:ad{ID}e1:q4:ping1:t2:aa1:y1:qe\r\n");
        let document = decode(text.as_bytes()).unwrap();
        assert!(matches!(parse(&document).unwrap().body, Body::Query(Query { method: Method::Ping, .. })));
        assert!(decode(b"\r\nde").is_err());
    }

    #[test]
    fn what_is_around_an_item_need_not_be_in_order() {
        let put =
            |text: &str| query(text).map(|method| matches!(method, Method::Put(Put { value: b"i1e", .. })));
        assert_eq!(put(&format!("d1:ad{ID}5:token1:x1:vi1ee1:q3:put1:t2:aa1:y1:qe")), Ok(true));
        assert_eq!(put(&format!("d1:y1:q1:t2:aa1:q3:put1:ad1:vi1e5:token1:x{ID}ee")), Ok(true));
    }

    #[test]
    fn what_a_stranger_sends_is_read_within_bounds() {
        let why = |len: usize| {
            let text = format!("d1:rd{ID}e1:t{len}:{}1:y1:re", "t".repeat(len));
            let document = decode(text.as_bytes()).unwrap();
            parse(&document).map(|_| ()).map_err(|malformed| malformed.why)
        };
        assert_eq!(why(MAX_TRANSACTION_LEN), Ok(()));
        assert_eq!(why(MAX_TRANSACTION_LEN + 1), Err("no transaction id"));
        let peers = "6:\x50\x01\x02\x03\x04\x05".repeat(MAX_VALUES + 1);
        let text = format!("d1:rd{ID}6:valuesl{peers}ee1:t2:aa1:y1:re");
        let document = decode(text.as_bytes()).unwrap();
        let Ok(Packet { body: Body::Response(response), .. }) = parse(&document) else { panic!("{text}") };
        assert_eq!(response.values.len(), MAX_VALUES);
    }

    #[test]
    fn a_datagram_has_bounds() {
        let read = |text: &str| decode(text.as_bytes()).map(|_| ()).map_err(|error| error.kind);
        let deep = |depth: usize| "l".repeat(depth) + &"e".repeat(depth);
        assert_eq!(read(&deep(DATAGRAM.max_depth)), Ok(()));
        assert_eq!(read(&deep(DATAGRAM.max_depth + 1)), Err(bencode::ErrorKind::TooDeep));
        // As long as one may be, and as full of values as so many bytes can be.
        let full = format!("l{}e", "0:".repeat(DATAGRAM.max_values - 1));
        assert_eq!((full.len(), read(&full)), (DATAGRAM.max_input, Ok(())));
        let longer = format!("l{}1:xe", "0:".repeat(DATAGRAM.max_values - 2));
        assert_eq!(read(&longer), Err(bencode::ErrorKind::InputTooLong));
    }
}
