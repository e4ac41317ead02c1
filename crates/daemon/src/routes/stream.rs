//! Files while they are being downloaded, with ranges (RFC 9110), and whom they come from.

use super::{State, info_hash, json};
use crate::access::{From, Who};
use crate::error::Refusal;
use crate::tokens::Scope;
use api::{Peer, Problem, Tracker, TrackerState};
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use engine::{InfoHash, Reader, Torrent, TorrentError};
use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt};
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Files that are read at a time, and as many through unix sockets. Further ones are refused with 503.
pub(crate) const MAX_STREAMS: usize = 64;
/// Those of one token, or of one address without; of IPv6 of one network (/64).
pub(crate) const MAX_STREAMS_EACH: usize = 16;
/// How long a torrent that something is being done to is waited for.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long the bytes that come next are waited for; then the answer is broken off.
const STALL_WAIT: Duration = Duration::from_secs(300);
/// The most bytes of one piece of the answer.
const CHUNK: u32 = 256 * 1024;

/// What a browser may be told that a file is. All of it is shown or played and none of it runs; whatever else there is, is
/// to be saved.
const SAFE_TYPES: &[(&str, &str)] = &[
    ("aac", "audio/aac"),
    ("avi", "video/x-msvideo"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("png", "image/png"),
    ("ts", "video/mp2t"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
];

/// A file's bytes, or a range of them. What is missing is fetched before all else, and waited for; of a torrent that does not
/// run, only a file is given that is there as a whole.
#[utoipa::path(get, path = "/api/v1/torrents/{id}/files/{index}", params(
    ("id" = String, Path, description = "the torrent's id"),
    ("index" = usize, Path, description = "the file's number, from 0"),
    ("range" = Option<String>, Header, description = "one range of bytes"),
    ), security(("token" = ["read"])), responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 206, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "the torrent does not run, and not all of the file is there"),
    (status = 416, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn file(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    Extension(from): Extension<From>,
    Path((id, index)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let info_hash = info_hash(&id)?;
    let index: usize = index.parse().map_err(|_| Refusal::bad("a file is named by its number, from 0"))?;
    let place = state.streams.take(from, &who)?;
    let metainfo = state.board.metainfo(info_hash).ok_or_else(Refusal::not_here)?;
    let file = metainfo.files().get(index).filter(|file| file.is_regular());
    let file =
        file.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "no_file", "the torrent has no such file"))?;
    let gone = state.access.until_gone(who);
    part_of(file, &headers, place, gone, async || {
        let reader = state.session.reader(info_hash, file.offset..file.offset + file.length);
        let reader = timeout(BUSY_WAIT, reader).await.map_err(|_| Refusal::busy())??;
        reader.ok_or_else(|| not_running(TorrentError::Stopped))
    })
    .await
}

/// The part of a file that `Range` names, or all of it; no more of it when `end` comes. It has its `place` as long as it lasts.
pub(crate) async fn part_of(
    file: &engine::metainfo::File,
    headers: &HeaderMap,
    place: impl Send + 'static,
    end: impl Future<Output = ()> + Send + 'static,
    reader: impl AsyncFnOnce() -> Result<Reader, Refusal>,
) -> Result<Response<Body>, Refusal> {
    // No validator was given with any answer, so that none can be the right one (RFC 9110, 13.1.5).
    let is_conditional = headers.contains_key(header::IF_RANGE);
    let asked = headers.get(header::RANGE).filter(|_| !is_conditional).and_then(|value| value.to_str().ok());
    let range = match asked.and_then(|asked| parse_range(asked, file.length)) {
        None => None,
        Some(Ok(range)) => Some(range),
        Some(Err(())) => return Ok(unsatisfiable(file.length)),
    };
    let reader = reader().await?;
    let part = range.clone().unwrap_or(0..file.length);
    let bytes = read(reader, file.offset + part.start..file.offset + part.end, place).take_until(end);
    let mut answer = Response::new(Body::from_stream(bytes));
    *answer.status_mut() = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let told = answer.headers_mut();
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            told.insert(name, value);
        }
    };
    let path = file.path.to_string();
    let media = safe_type(&path);
    put(header::CONTENT_TYPE, media.unwrap_or("application/octet-stream").into());
    put(header::CONTENT_DISPOSITION, if media.is_some() { "inline" } else { "attachment" }.into());
    put(header::CONTENT_LENGTH, (part.end - part.start).to_string());
    put(header::ACCEPT_RANGES, "bytes".into());
    put(header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'; frame-ancestors 'none'".into());
    if range.is_some() {
        put(header::CONTENT_RANGE, format!("bytes {}-{}/{}", part.start, part.end - 1, file.length));
    }
    Ok(answer)
}

/// The connections of a torrent that runs.
#[utoipa::path(get, path = "/api/v1/torrents/{id}/peers", params(("id" = String, Path, description = "the torrent's id")),
    security(("token" = ["read"])), responses(
    (status = 200, body = Vec<Peer>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "the torrent does not run"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn peers(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    let torrent = running(&state, info_hash(&id)?).await?;
    let peers =
        timeout(BUSY_WAIT, torrent.peers()).await.map_err(|_| Refusal::busy())?.map_err(not_running)?;
    let told = peers.into_iter().map(|peer| Peer {
        number: peer.number,
        // Whoever only looks may show it to others.
        addr: if who.scope > Scope::Read { peer.addr.to_string() } else { String::new() },
        outgoing: peer.outgoing,
        client: peer.client.map(|mut client| {
            // Some put our address into it.
            who.mask(&mut client);
            client
        }),
        am_choking: peer.am_choking,
        am_interested: peer.am_interested,
        peer_choking: peer.peer_choking,
        peer_interested: peer.peer_interested,
        snubbed: peer.snubbed,
        requests: peer.requests,
        window: peer.window,
        pieces: peer.pieces,
        rate_down: peer.rate_down,
        rate_up: peer.rate_up,
        downloaded: peer.downloaded,
        uploaded: peer.uploaded,
    });
    Ok(json(&told.collect::<Vec<_>>()))
}

/// The trackers of a torrent; of one that does not run, none has been asked yet.
#[utoipa::path(get, path = "/api/v1/torrents/{id}/trackers", params(("id" = String, Path, description = "the torrent's id")),
    security(("token" = ["read"])), responses(
    (status = 200, body = Vec<Tracker>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn trackers(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    let trackers = state.session.trackers(info_hash(&id)?);
    let trackers = timeout(BUSY_WAIT, trackers).await.map_err(|_| Refusal::busy())??;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    let masked = |mut tracker: engine::TrackerStats| {
        who.mask(&mut tracker.name);
        tracker.message.iter_mut().for_each(|message| who.mask(message));
        tracker
    };
    let told = trackers.into_iter().map(masked).map(|tracker| Tracker {
        name: tracker.name,
        tier: tracker.tier,
        state: match tracker.state {
            engine::TrackerState::Waiting => TrackerState::Waiting,
            engine::TrackerState::Announcing => TrackerState::Announcing,
            engine::TrackerState::Working => TrackerState::Working,
            engine::TrackerState::Failed => TrackerState::Failed,
        },
        failures: tracker.failures,
        last_seconds: seconds(tracker.last),
        next_seconds: seconds(tracker.next),
        seeds: tracker.seeders,
        leechers: tracker.leechers,
        peers: tracker.peers,
        message: tracker.message,
    });
    Ok(json(&told.collect::<Vec<_>>()))
}

pub(crate) async fn running(state: &State, info_hash: InfoHash) -> Result<Torrent, Refusal> {
    let found = timeout(BUSY_WAIT, state.session.torrent(info_hash)).await.map_err(|_| Refusal::busy())??;
    found.ok_or_else(|| not_running(TorrentError::Stopped))
}

pub(crate) fn not_running(_: TorrentError) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, "not_running", "the torrent does not run, or is being checked")
}

fn read(
    reader: Reader,
    range: Range<u64>,
    place: impl Send + 'static,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    try_unfold((reader, range, place), async |(mut reader, range, place)| {
        let left = u32::try_from(range.end - range.start).unwrap_or(CHUNK).min(CHUNK);
        if left == 0 {
            return Ok(None);
        }
        let stalled = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let read = timeout(STALL_WAIT, reader.read(range.start, left)).await.map_err(|_| stalled())?;
        let bytes = read.map_err(std::io::Error::other)?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let next = range.start + bytes.len() as u64..range.end;
        Ok(Some((bytes, (reader, next, place))))
    })
}

/// `None`: to be passed over, as RFC 9110 has it for what is no range of bytes, or several. An error: nothing is there.
pub(crate) fn parse_range(text: &str, length: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = text
        .split_at_checked(6)
        .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes="))?
        .1
        .split_once('-')?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => Some(text.parse().unwrap_or(u64::MAX)),
        false => None,
    };
    let range = match (first, last) {
        ("", last) => length.saturating_sub(number(last)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.start < range.end { Ok(range) } else { Err(()) })
}

fn unsatisfiable(length: u64) -> Response<Body> {
    use axum::response::IntoResponse;
    let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", "the file has no such bytes");
    let mut answer = refusal.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        answer.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    answer
}

fn safe_type(path: &str) -> Option<&'static str> {
    let extension = FilePath::new(path).extension()?.to_str()?.to_ascii_lowercase();
    SAFE_TYPES.iter().find(|(known, _)| *known == extension).map(|&(_, media)| media)
}

/// Whether players can be expected to play a file of that name.
pub fn is_playable(path: &str) -> bool {
    safe_type(path).is_some_and(|media| media.starts_with("video/") || media.starts_with("audio/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (text, expected) in [
            ("bytes=0-0", Some(Ok(0..1))),
            ("bytes=5-", Some(Ok(5..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-99", Some(Ok(0..10))),
            ("bytes=2-99999999999999999999999", Some(Ok(2..10))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=-0", Some(Err(()))),
            ("bytes=99999999999999999999999-", Some(Err(()))),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Some(Err(())));
    }

    #[test]
    fn films_and_music_are_played() {
        assert!(
            is_playable("a/b.mkv")
                && is_playable("x.FLAC")
                && !is_playable("cover.jpg")
                && !is_playable("a.iso")
        );
    }

    #[test]
    fn nothing_that_runs_is_shown() {
        assert_eq!(safe_type("a/b.MKV"), Some("video/x-matroska"));
        for name in ["a.html", "a.svg", "a.xml", "a.js", "a.pdf", "a", ".mkv", "a.mkv.html"] {
            assert_eq!(safe_type(name), None, "{name}");
        }
    }
}
