//! From the text of a link to a [`Magnet`].

use super::{Host, HostPort, MAX_HINTS, MAX_LINK_LEN, MAX_SELECTED_FILE, Magnet, MagnetError};
use crate::names::repair_utf8;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::ops::RangeInclusive;
use types::{InfoHash, InfoHashV1, InfoHashV2};

/// The longest host name (RFC 1035).
const MAX_HOST_LEN: usize = 253;
/// The schemes of trackers that there are clients for; a browser's `ws` and `wss` are none.
const TRACKER_SCHEMES: [&str; 3] = ["http://", "https://", "udp://"];
const WEB_SEED_SCHEMES: [&str; 2] = ["http://", "https://"];

pub(super) fn parse(link: &[u8]) -> Result<Magnet, MagnetError> {
    const SCHEME: &[u8] = b"magnet:?";
    let head = link.get(..SCHEME.len()).ok_or(MagnetError::NotAMagnet)?;
    if !head.eq_ignore_ascii_case(SCHEME) {
        return Err(MagnetError::NotAMagnet);
    }
    if link.len() > MAX_LINK_LEN {
        return Err(MagnetError::TooLong);
    }
    let (mut topics, mut hints) = (Topics::default(), Hints::default());
    for parameter in link[SCHEME.len()..].split(|&byte| byte == b'&') {
        let Some(equals) = parameter.iter().position(|&byte| byte == b'=') else { continue };
        // As links are written in the text of a web page.
        let key = parameter[..equals].strip_prefix(b"amp;").unwrap_or(&parameter[..equals]);
        let Some(key) = known(key) else { continue };
        let value = &parameter[equals + 1..];
        match unescaped(value, key == "dn") {
            Some(value) if key == "xt" => topics.take(&value)?,
            Some(value) => hints.take(key, &value),
            None if key == "xt" => return Err(MagnetError::BadEscape),
            None => {}
        }
    }
    let info_hash = match (topics.v1, topics.v2) {
        (Some(v1), Some(v2)) => InfoHash::Hybrid(v1, v2),
        (Some(v1), None) => InfoHash::V1(v1),
        (None, Some(v2)) => InfoHash::V2(v2),
        (None, None) => return Err(MagnetError::NoTorrent),
    };
    let Hints { name, trackers, web_seeds, peers, dht_nodes, selected } = hints;
    let select_only = selected.map(united);
    Ok(Magnet { info_hash, name, trackers, web_seeds, peers, dht_nodes, select_only })
}

/// The key that a parameter's text means, in either case, and with a number behind a dot where there are several
/// (`tr.1`); `None` for one that is of no use to us.
fn known(text: &[u8]) -> Option<&'static str> {
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    ["xt", "dn", "tr", "ws", "x.pe", "dht", "so"].into_iter().find(|key| {
        let Some((head, tail)) = text.split_at_checked(key.len()) else { return false };
        let is_one_of_several = || tail.split_first().is_some_and(|(&dot, n)| dot == b'.' && is_number(n));
        head.eq_ignore_ascii_case(key.as_bytes()) && (tail.is_empty() || is_one_of_several())
    })
}

/// The bytes behind `%XX`. `None` if an escape is broken; in names it stands for itself ("100%"), and `+` is a space,
/// as forms write it.
fn unescaped(text: &[u8], is_name: bool) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, tail @ ..] => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (tail, high << 4 | low))
            }
            _ => None,
        };
        let (tail, byte) = match (first, escaped) {
            (b'%', Some(escaped)) => escaped,
            (b'%', None) if !is_name => return None,
            (b'+', _) if is_name => (tail, b' '),
            _ => (tail, *first),
        };
        out.push(byte);
        rest = tail;
    }
    Some(out)
}

/// What names the torrent.
#[derive(Default)]
struct Topics {
    v1: Option<InfoHashV1>,
    v2: Option<InfoHashV2>,
}

impl Topics {
    /// Topics of other networks (`urn:ed2k:`, `urn:sha1:`) say nothing to us.
    fn take(&mut self, topic: &[u8]) -> Result<(), MagnetError> {
        if let Some(hash) = after(topic, "urn:btih:") {
            let hash = btih(hash).ok_or(MagnetError::BadBtih)?;
            if self.v1.replace(hash).is_some_and(|other| other != hash) {
                return Err(MagnetError::TwoTorrents);
            }
        } else if let Some(hash) = after(topic, "urn:btmh:") {
            let hash = btmh(hash).ok_or(MagnetError::BadBtmh)?;
            if self.v2.replace(hash).is_some_and(|other| other != hash) {
                return Err(MagnetError::TwoTorrents);
            }
        }
        Ok(())
    }
}

fn btih(text: &[u8]) -> Option<InfoHashV1> {
    match text.len() {
        40 => core::str::from_utf8(text).ok()?.parse().ok(),
        32 => base32(text).map(InfoHashV1),
        _ => None,
    }
}

/// A multihash: 0x12 is SHA-256, 0x20 its length.
fn btmh(text: &[u8]) -> Option<InfoHashV2> {
    core::str::from_utf8(text.strip_prefix(b"1220")?).ok()?.parse().ok()
}

/// 32 letters and digits of base32 (RFC 4648), in either case: five bits each.
fn base32(text: &[u8]) -> Option<[u8; 20]> {
    let mut out = [0; 20];
    for (eight, five) in text.chunks_exact(8).zip(out.chunks_exact_mut(5)) {
        let mut bits = 0u64;
        for &byte in eight {
            let value = match byte.to_ascii_lowercase() {
                letter @ b'a'..=b'z' => letter - b'a',
                digit @ b'2'..=b'7' => digit - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(out)
}

/// What follows a prefix that is there in either case.
fn after<'a>(text: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix.as_bytes()).then_some(tail)
}

/// Everything else.
#[derive(Default)]
struct Hints {
    name: Option<String>,
    trackers: Vec<String>,
    web_seeds: Vec<String>,
    peers: Vec<HostPort>,
    dht_nodes: Vec<HostPort>,
    selected: Option<Vec<RangeInclusive<u32>>>,
}

impl Hints {
    fn take(&mut self, key: &str, value: &[u8]) {
        match key {
            "dn" => {
                let name = repair_utf8(value);
                if self.name.is_none() && !name.trim().is_empty() {
                    self.name = Some(name);
                }
            }
            "tr" => add(&mut self.trackers, url(value, &TRACKER_SCHEMES)),
            "ws" => add(&mut self.web_seeds, url(value, &WEB_SEED_SCHEMES)),
            "x.pe" => add(&mut self.peers, host_port(value)),
            "dht" => add(&mut self.dht_nodes, host_port(value)),
            _ => {
                let ranges: Vec<_> = value.split(|&byte| byte == b',').filter_map(range).collect();
                let is_list = value.iter().all(|byte| byte.is_ascii_digit() || b"-,".contains(byte));
                if is_list || !ranges.is_empty() {
                    self.selected.get_or_insert_default().extend(ranges);
                }
            }
        }
    }
}

/// Takes a hint that can be read, and only once.
fn add<T: PartialEq>(hints: &mut Vec<T>, hint: Option<T>) {
    if let Some(hint) = hint
        && hints.len() < MAX_HINTS
        && !hints.contains(&hint)
    {
        hints.push(hint);
    }
}

/// A URL of one of the schemes, with something after it. What else is in it, who uses it must check.
fn url(value: &[u8], schemes: &[&str]) -> Option<String> {
    let text = core::str::from_utf8(value).ok()?.trim();
    schemes
        .iter()
        .any(|scheme| after(text.as_bytes(), scheme).is_some_and(|rest| !rest.is_empty()))
        .then(|| text.into())
}

/// `name:port`, `1.2.3.4:port` or `[::1]:port`.
fn host_port(value: &[u8]) -> Option<HostPort> {
    let (host, port) = core::str::from_utf8(value).ok()?.trim().rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|&port| is_number && port != 0)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => Host::Ip(IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?)),
        None => host.parse().map(|v4| Host::Ip(IpAddr::V4(v4))).ok().or_else(|| host_name(host))?,
    };
    Some(HostPort { host, port })
}

pub(super) fn host_name(text: &str) -> Option<Host> {
    let is_in_place = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    (has_letter && text.len() <= MAX_HOST_LEN && text.bytes().all(is_in_place))
        .then(|| Host::Name(text.to_ascii_lowercase()))
}

/// `3` or `3-5`.
fn range(text: &[u8]) -> Option<RangeInclusive<u32>> {
    let text = core::str::from_utf8(text).ok()?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|&number: &u32| is_number && number <= MAX_SELECTED_FILE)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

/// The same numbers, as few ranges in order.
fn united(mut ranges: Vec<RangeInclusive<u32>>) -> Vec<RangeInclusive<u32>> {
    ranges.sort_by_key(|range| *range.start());
    let mut out: Vec<RangeInclusive<u32>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            // Numbers are small, so that one more never overflows.
            Some(last) if *range.start() <= last.end() + 1 => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => out.push(range),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_has_a_length() {
        assert!(host_name(&"a".repeat(MAX_HOST_LEN)).is_some());
        assert!(host_name(&"a".repeat(MAX_HOST_LEN + 1)).is_none());
    }
}
