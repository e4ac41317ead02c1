//! Torrent files put together from the parts that a client keeps apart.

use crate::limits::MAX_TRACKERS;
use alloc::vec::Vec;
use bencode::{Value, encode_dict};

/// A torrent file of an info dictionary, trackers in tiers and web seeds.
pub(crate) fn torrent(
    info: Value<'_>,
    piece_layers: Option<Value<'_>>,
    tiers: &[Vec<&[u8]>],
    web_seeds: &[&[u8]],
) -> Vec<u8> {
    encode_dict(|d| {
        if let Some(first) = tiers.iter().flatten().next() {
            d.bytes("announce", first);
            d.list("announce-list", |list| {
                for tier in tiers.iter().take(MAX_TRACKERS) {
                    list.list(|urls| tier.iter().take(MAX_TRACKERS).for_each(|url| urls.bytes(url)));
                }
            });
        }
        d.value("info", info);
        if let Some(layers) = piece_layers {
            d.value("piece layers", layers);
        }
        if !web_seeds.is_empty() {
            d.list("url-list", |list| web_seeds.iter().take(MAX_TRACKERS).for_each(|url| list.bytes(url)));
        }
    })
}

/// All byte strings of a list; none if it is no list.
pub(crate) fn strings<'d>(value: Option<Value<'d>>) -> Vec<&'d [u8]> {
    value.and_then(Value::as_list).map_or_else(Vec::new, |list| list.filter_map(Value::as_bytes).collect())
}
