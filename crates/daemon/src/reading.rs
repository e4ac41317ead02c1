//! What is read of a request before anything is done: for fuzz targets, and for nobody else.

use crate::access::Access;
use crate::roots::below_a_root;
use crate::routes::orders::{from_json, named};
use crate::routes::stream::parse_range;
use api::{AddQuery, ListQuery, SettingsChange, TorrentChange};
use axum::extract::Query;
use axum::http::{HeaderMap, Uri};
use engine::Choices;
use std::ops::Range;
use std::path::PathBuf;

/// Whether a request with these headers is taken for one that is meant for us, and comes from no page elsewhere.
pub fn is_ours(access: &Access, headers: &HeaderMap) -> bool {
    access.check_origin(headers).is_ok()
}

/// The bytes that a header `Range` asks for; the error is that there are none of them.
pub fn range(text: &str, length: u64) -> Option<Result<Range<u64>, ()>> {
    parse_range(text, length)
}

/// What a list is asked for.
pub fn list(uri: &Uri) -> Option<ListQuery> {
    Query::try_from_uri(uri).ok().map(|Query(query)| query)
}

/// The folder that an add asks for, if it is below a root.
pub fn folder(uri: &Uri, roots: &[PathBuf]) -> Option<PathBuf> {
    let Query(query): Query<AddQuery> = Query::try_from_uri(uri).ok()?;
    below_a_root(roots, &query.dir?).ok()
}

/// Whether a body names a torrent.
pub fn names(body: &[u8]) -> bool {
    named(body).is_ok()
}

/// What is wanted of a torrent after a change, if the body is one.
pub fn change(body: &[u8]) -> Option<Choices> {
    let change: TorrentChange = from_json(body).ok()?;
    let mut choices = Choices::new("/");
    crate::change::change_torrent(change, &mut choices);
    Some(choices)
}

/// What of all torrents is to change, if the body says so.
pub fn settings(body: &[u8]) -> Option<SettingsChange> {
    from_json(body).ok()
}
