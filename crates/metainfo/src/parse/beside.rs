//! What stands beside the info dictionary: none of it is part of the torrent, so what cannot be read is passed over.

use super::trimmed;
use crate::names::repair_utf8;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bencode::Value;
use core::fmt::Write;
use types::InfoHashV1;

/// Text for people, such as the comment; the variant that says it is UTF-8 first.
pub(super) fn text(root: Value<'_>, key: &str) -> Option<String> {
    let utf8 = root.get(format!("{key}.utf-8")).and_then(Value::as_bytes);
    utf8.or_else(|| root.get(key)?.as_bytes()).map(repair_utf8)
}

/// The tiers of `announce-list` if any tracker is there, else `announce` (BEP 12).
pub(super) fn trackers(root: Value<'_>) -> Vec<Vec<String>> {
    let tiers = root.get("announce-list").and_then(Value::as_list).into_iter().flatten();
    let tiers: Vec<Vec<String>> = tiers.map(strings).filter(|tier| !tier.is_empty()).collect();
    if !tiers.is_empty() {
        return tiers;
    }
    root.get("announce").map(strings).filter(|tier| !tier.is_empty()).into_iter().collect()
}

/// The URLs of `url-list` (BEP 19), each once. Where there is more than one file, a URL is a folder's,
/// unless it asks a program for them.
pub(super) fn web_seeds(root: Value<'_>, are_folders: bool) -> Vec<String> {
    let mut seeds = Vec::new();
    let mut seen = alloc::collections::BTreeSet::new();
    for url in root.get("url-list").map(strings).unwrap_or_default() {
        let mut url = escaped(&url);
        if are_folders && !url.ends_with('/') && !url.contains(['?', '#']) {
            url.push('/');
        }
        if seen.insert(url.clone()) {
            seeds.push(url);
        }
    }
    seeds
}

/// Host and port of each item of `nodes` (BEP 5).
pub(super) fn dht_nodes(root: Value<'_>) -> Vec<(String, u16)> {
    let node = |node: Value<'_>| {
        let mut parts = node.as_list()?;
        let host = trimmed(parts.next()?.as_bytes()?)?;
        Some((host, parts.next()?.as_int()?.try_into().ok()?))
    };
    root.get("nodes").and_then(Value::as_list).into_iter().flatten().filter_map(node).collect()
}

/// The info-hashes of `similar`, beside the info dictionary or in it (BEP 38).
pub(super) fn similar(root: Value<'_>, info: Value<'_>) -> Vec<InfoHashV1> {
    let hash = |value: Value<'_>| value.as_bytes()?.try_into().ok().map(InfoHashV1);
    both_lists(root, info, "similar").filter_map(hash).collect()
}

/// The names of `collections`, beside the info dictionary or in it (BEP 38).
pub(super) fn collections(root: Value<'_>, info: Value<'_>) -> Vec<String> {
    both_lists(root, info, "collections").filter_map(|name| trimmed(name.as_bytes()?)).collect()
}

fn both_lists<'d>(root: Value<'d>, info: Value<'d>, key: &str) -> impl Iterator<Item = Value<'d>> {
    [root.get(key), info.get(key)].into_iter().flatten().filter_map(Value::as_list).flatten()
}

/// The strings of a list, or the one string; trimmed, without those that are empty then.
fn strings(value: Value<'_>) -> Vec<String> {
    match value.as_list() {
        Some(list) => list.filter_map(|item| trimmed(item.as_bytes()?)).collect(),
        None => value.as_bytes().and_then(trimmed).map_or_else(Vec::new, |text| vec![text]),
    }
}

/// A URL whose maker forgot to escape spaces and the like; what is escaped already stays so.
fn escaped(url: &str) -> String {
    let mut escaped = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => escaped.push(char::from(byte)),
            _ => write!(escaped, "%{byte:02X}").expect("a string takes all that is written to it"),
        }
    }
    escaped
}
