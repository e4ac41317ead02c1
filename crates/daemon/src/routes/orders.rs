//! What is done to torrents. An order that was answered with 2xx is in the session's store.

use super::{MAX_ADDS_EACH, MAX_ORDERS_EACH, State, UnderWay, info_hash, json};
use crate::access::Who;
use crate::audit::Note;
use crate::error::Refusal;
use crate::roots::root_of;
use crate::shares::Share;
use crate::tokens::Scope;
use api::{
    AddQuery, Added, Destination, Direction, JSON, Problem, RemoveQuery, Resumed, Source, Stayed, TORRENT,
    TrackersChange, Turn,
};
use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use engine::{Choices, Error, Given, InfoHash, Magnet, Metainfo, QueueMove};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Bytes of a torrent file that is added. A longer one is refused with 413; the engine takes no longer one either.
pub(crate) const MAX_TORRENT: usize = 64 * 1024 * 1024;
/// How long a torrent file may take to arrive. Then it is refused with 408.
pub(crate) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a body of JSON. A longer one is refused with 413.
pub(crate) const MAX_JSON: usize = 64 * 1024;
/// How long the torrent file that a URL names may take before the add is answered with 503. It goes on all the same.
const FETCH_WAIT: Duration = Duration::from_secs(20);
/// How long an order may take before it is answered with 503. It is carried out all the same.
pub(crate) const ORDER_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a torrent file that needs no turn (see [`super::MAX_UPLOADS`]): who is slow with a long one keeps none of them.
pub(crate) const SMALL_TORRENT: usize = 128 * 1024;

/// Adds a torrent: the body is its file, or names it. One that is here already stays as it is.
#[utoipa::path(post, path = "/api/v1/torrents", params(AddQuery), security(("token" = ["manage"])),
    request_body(content((Vec<u8> = "application/x-bittorrent"), (Source = "application/json"))), responses(
    (status = 200, body = Added, description = "it was here already"),
    (status = 201, body = Added),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "the folder is below no root"),
    (status = 408, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "no torrent that can be used"),
    (status = 502, body = Problem, content_type = "application/problem+json", description = "the URL gave no torrent file"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn add(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    Extension(who): Extension<Who>,
    query: Result<Query<AddQuery>, QueryRejection>,
    request: Request,
) -> Result<Response<Body>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::bad(error.body_text()))?;
    let choices = choices(&state, query).await?;
    let (known, given) = match media_type(request.headers()).as_deref() {
        Some(TORRENT) => {
            check_length(request.headers(), MAX_TORRENT)?;
            let is_small = length(request.headers()).is_some_and(|length| length <= SMALL_TORRENT as u64);
            let _room = match is_small {
                true => None,
                false => match timeout(ORDER_WAIT, state.uploads.acquire()).await {
                    Ok(Ok(room)) => Some(room),
                    _ => return Err(Refusal::busy()),
                },
            };
            let file = receive(request.into_body(), MAX_TORRENT).await?;
            // A long one takes a while, and others are to be answered meanwhile.
            let parsed = tokio::task::spawn_blocking(move || (Metainfo::parse(&file), file)).await;
            let Ok((metainfo, file)) = parsed else { return Err(Refusal::busy()) };
            (Some(metainfo.map_err(Error::Torrent)?.info_hash()), Given::Torrent(file))
        }
        Some(JSON) => match named(&receive_json(request).await?)? {
            Given::Magnet(link) => {
                let known = Magnet::parse(&link).map_err(Error::Magnet)?.info_hash;
                (Some(known), Given::Magnet(link))
            }
            given => (None, given),
        },
        _ => {
            let detail = format!("send the torrent file as {TORRENT}, or {JSON} with its 'source'");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail));
        }
    };
    note.tell("id", known.map(|known| known.wire().to_string()));
    note.tell("source", given_name(&given));
    note.tell("dir", choices.dir.to_string_lossy());
    if let Some(known) = known.filter(|&known| state.board.torrent(known).is_some()) {
        return Ok(json(&Added { id: known.wire().to_string(), created: false }));
    }
    let wait = if known.is_some() { ORDER_WAIT } else { FETCH_WAIT };
    let under_way = UnderWay::Add(root_of(&state.all_roots(), &choices.dir));
    let room = state.under_way.take(under_way, MAX_ADDS_EACH).ok_or_else(Refusal::busy)?;
    let add = async move |state: Arc<State>| match given {
        Given::Torrent(file) => state.session.add(file, choices).await,
        Given::Magnet(link) => state.session.add_magnet(&link, choices).await,
        Given::Url(url) if who.scope >= Scope::Admin => state.session.add_url(&url, choices).await,
        Given::Url(url) => state.session.add_public_url(&url, choices).await,
    };
    match order(&state, wait, known, room, add).await {
        Ok(info_hash) => {
            let id = info_hash.wire().to_string();
            let mut answer = json(&Added { id: id.clone(), created: true });
            *answer.status_mut() = StatusCode::CREATED;
            if let Ok(place) = format!("/api/v1/torrents/{id}").parse() {
                answer.headers_mut().insert(header::LOCATION, place);
            }
            Ok(answer)
        }
        Err(Failed::Engine(Error::AlreadyAdded(info_hash))) => {
            Ok(json(&Added { id: info_hash.wire().to_string(), created: false }))
        }
        Err(failed) => Err(failed.into()),
    }
}

fn given_name(given: &Given) -> &'static str {
    match given {
        Given::Torrent(_) => "torrent",
        Given::Magnet(_) => "magnet",
        Given::Url(_) => "url",
    }
}

/// What a body names.
pub(crate) fn named(body: &[u8]) -> Result<Given, Refusal> {
    let Source { source } = from_json(body)?;
    let scheme = source.split(':').next().unwrap_or_default().to_ascii_lowercase();
    match scheme.as_str() {
        "magnet" => Ok(Given::Magnet(source)),
        "http" | "https" => Ok(Given::Url(source)),
        _ => Err(Refusal::bad("'source' must be a magnet link, or an http(s) URL of a torrent file")),
    }
}

/// Stops a torrent and forgets it. Its files stay, unless it is said that they go. One that is not here is no error.
#[utoipa::path(delete, path = "/api/v1/torrents/{id}", params(("id" = String, Path, description = "its id"), RemoveQuery),
    security(("token" = ["manage"])), responses(
    (status = 200, body = Stayed, description = "it is forgotten, but some of its files could not be removed"),
    (status = 204),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "its files are below no root"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
    query: Result<Query<RemoveQuery>, QueryRejection>,
) -> Result<Response<Body>, Refusal> {
    let Query(RemoveQuery { data }) = query.map_err(|error| Refusal::bad(error.body_text()))?;
    note.tell("data", data);
    if let Some(torrent) = state.board.torrent(info_hash(&id)?).filter(|_| data) {
        state.below_a_root(&torrent.dir)?;
    }
    let (tell, told) = oneshot::channel();
    let remove = async move |state: Arc<State>, info_hash| {
        if let Some(stayed) = state.session.remove(info_hash, data).await? {
            // Who asked may have gone.
            let _ = tell.send(stayed);
        }
        Ok(())
    };
    let removed = on(&state, &id, remove).await?;
    match removed {
        Ok(()) | Err(Failed::Engine(Error::NotHere(_))) => Ok(stayed(told).await),
        Err(failed) => Err(failed.into()),
    }
}

/// What is answered if files could not be removed, or nothing.
async fn stayed(told: oneshot::Receiver<engine::Stayed>) -> Response<Body> {
    match told.await {
        Ok(stayed) => json(&Stayed {
            warning: stayed.to_string(),
            stayed: stayed.files.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
        }),
        Err(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Stops a torrent until it is resumed.
#[utoipa::path(post, path = "/api/v1/torrents/{id}/pause", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), responses(
    (status = 204),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn pause(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    on(&state, &id, async |state, info_hash| state.session.pause(info_hash).await).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Goes on with a torrent that was paused, or that could not go on before. One whose disk is away goes on by itself when it is
/// back.
#[utoipa::path(post, path = "/api/v1/torrents/{id}/resume", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), responses(
    (status = 200, body = Resumed, description = "it is resumed, but waits for its disk"),
    (status = 204),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "it cannot go on"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn resume(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    let (tell, told) = oneshot::channel();
    let resume = async move |state: Arc<State>, info_hash| {
        if let Some(waits_for) = state.session.resume(info_hash).await? {
            // Who asked may have gone.
            let _ = tell.send(waits_for.of_kept());
        }
        Ok(())
    };
    on(&state, &id, resume).await??;
    Ok(match told.await {
        Ok(warning) => json(&Resumed { warning }),
        Err(_) => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Has everything of a torrent hashed again, whatever was known of it; one that is paused, when it is resumed.
#[utoipa::path(post, path = "/api/v1/torrents/{id}/recheck", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), responses(
    (status = 204, description = "it has begun; the torrent is 'checking'"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "only a magnet link is known"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn recheck(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    on(&state, &id, async |state, info_hash| state.session.recheck(info_hash).await).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a torrent's files moved into another folder. What takes longer than ten seconds is answered with 202 and goes on: the
/// torrent is 'moving' until it is there. Its `note` says then which of its files stay where they were, or why it was not moved.
#[utoipa::path(post, path = "/api/v1/torrents/{id}/move", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), request_body(content = Destination, content_type = "application/json"), responses(
    (status = 200, body = Stayed, description = "it is there, but some of its files could not be removed where it was"),
    (status = 202, description = "it is on its way"),
    (status = 204, description = "it is there"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "the folder is below no root"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 408, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "it cannot be moved there, or is on its way already"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn move_to(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response<Body>, Refusal> {
    info_hash(&id)?;
    let Destination { dir } = json_of(request).await?;
    note.tell("dir", &*dir);
    // What the daemon may not use it may not empty either.
    if let Some(torrent) = state.board.torrent(info_hash(&id)?) {
        state.below_a_root(&torrent.dir)?;
    }
    let dir = state.place(&dir).await?;
    let ((begin, mut begun), (tell, told)) = (oneshot::channel(), oneshot::channel());
    let work = async move |state: Arc<State>, info_hash| {
        let on_the_way = state.session.begin_move(info_hash, dir).await?;
        state.board.look_at(&state.session, info_hash);
        // Who asked may have gone.
        let _ = begin.send(());
        if let Some(stayed) = on_the_way.arrived().await? {
            let _ = tell.send(stayed);
        }
        Ok(())
    };
    match on(&state, &id, work).await? {
        Ok(()) => Ok(stayed(told).await),
        Err(Failed::Refused(_)) if begun.try_recv().is_ok() => Ok(StatusCode::ACCEPTED.into_response()),
        Err(failed) => Err(failed.into()),
    }
}

/// Gives a torrent another place among those that wait for their turn.
#[utoipa::path(post, path = "/api/v1/torrents/{id}/queue", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), request_body(content = Turn, content_type = "application/json"), responses(
    (status = 204),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 408, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn queue(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    info_hash(&id)?;
    let Turn { to } = json_of(request).await?;
    note.tell("to", serde_json::to_value(to).ok());
    let to = match to {
        Direction::Top => QueueMove::Top,
        Direction::Bottom => QueueMove::Bottom,
        Direction::Up => QueueMove::Up,
        Direction::Down => QueueMove::Down,
    };
    on(&state, &id, async move |state: Arc<State>, info_hash| state.session.queue(info_hash, to).await)
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes a torrent's trackers: those that are named go, new ones come as a tier behind the others.
#[utoipa::path(patch, path = "/api/v1/torrents/{id}/trackers", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), request_body(content = TrackersChange, content_type = "application/json"), responses(
    (status = 204),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 408, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "no tracker that can be asked"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn edit_trackers(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    info_hash(&id)?;
    let TrackersChange { remove, add } = json_of(request).await?;
    // Their URLs hold keys.
    note.tell("removed", remove.len());
    note.tell("added", add.len());
    let work = async move |state: Arc<State>, info_hash| {
        let change = move |tiers: &mut Vec<Vec<String>>| {
            tiers.iter_mut().for_each(|tier| tier.retain(|url| !remove.contains(url)));
            tiers.push(add);
        };
        state.session.edit_trackers(info_hash, change).await.map(drop)
    };
    on(&state, &id, work).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// A body that has to be JSON.
pub(crate) async fn json_of<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    if media_type(request.headers()).as_deref() != Some(JSON) {
        let detail = format!("send {JSON}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail));
    }
    from_json(&receive_json(request).await?)
}

/// Has a torrent that runs announced out of turn: to its trackers as soon as they allow, to the DHT and the local network at
/// once.
#[utoipa::path(post, path = "/api/v1/torrents/{id}/reannounce", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), responses(
    (status = 204),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn reannounce(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    on(&state, &id, async |state, info_hash| state.session.reannounce(info_hash).await).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Why an order was not carried out, or not yet.
#[derive(Debug)]
pub(crate) enum Failed {
    Engine(Error),
    Refused(Refusal),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Refusal {
        match failed {
            Failed::Engine(error) => error.into(),
            Failed::Refused(refusal) => refusal,
        }
    }
}

/// Carries out an order on the torrent that a path names. The error outside is one of the path.
pub(crate) async fn on<F>(
    state: &Arc<State>,
    id: &str,
    work: impl FnOnce(Arc<State>, InfoHash) -> F + Send + 'static,
) -> Result<Result<(), Failed>, Refusal>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let info_hash = info_hash(id)?;
    let room =
        state.under_way.take(UnderWay::Torrent(info_hash), MAX_ORDERS_EACH).ok_or_else(Refusal::busy)?;
    let work = async move |state| work(state, info_hash).await.map(|()| info_hash);
    Ok(order(state, ORDER_WAIT, Some(info_hash), room, work).await.map(drop))
}

/// Carries out an order in a task of its own, so that it is carried out whoever hangs up; the board shows what became of the
/// torrent before it is answered. While it is under way it has its `room`, however long a disk takes.
async fn order<F>(
    state: &Arc<State>,
    wait: Duration,
    known: Option<InfoHash>,
    room: Share<UnderWay>,
    work: impl FnOnce(Arc<State>) -> F + Send + 'static,
) -> Result<InfoHash, Failed>
where
    F: Future<Output = Result<InfoHash, Error>> + Send + 'static,
{
    let _turn = state.orders.try_acquire().map_err(|_| Failed::Refused(Refusal::busy()))?;
    let state = state.clone();
    let task = tokio::spawn(async move {
        let _room = room;
        let done = work(state.clone()).await;
        if let Some(info_hash) = done.as_ref().ok().copied().or(known) {
            state.board.look_at(&state.session, info_hash);
        }
        done
    });
    match timeout(wait, task).await {
        Ok(Ok(done)) => done.map_err(Failed::Engine),
        Ok(Err(_)) => Err(Failed::Engine(Error::ShutDown)),
        Err(_) => Err(Failed::Refused(Refusal::slow("it is not done yet, and goes on; ask again"))),
    }
}

async fn choices(state: &State, query: AddQuery) -> Result<Choices, Refusal> {
    let of_category = match (&query.dir, &query.category) {
        (None, Some(category)) => {
            let settings =
                timeout(ORDER_WAIT, state.session.settings()).await.map_err(|_| Refusal::busy())?;
            settings.save_paths.get(category).map(|dir| dir.to_string_lossy().into_owned())
        }
        _ => None,
    };
    let dir = match query.dir.or(of_category) {
        // A folder of a category may have been given before the roots were others.
        Some(dir) => state.place(&dir).await?,
        None => {
            let root = state.all_roots().into_iter().next();
            root.ok_or_else(|| Refusal::bad("the daemon has no folder for torrents (--root)"))?
        }
    };
    let usual = &state.usual;
    let paused = query.paused.unwrap_or(usual.paused);
    let sequential = query.sequential.unwrap_or(usual.sequential);
    let category = query.category.or_else(|| usual.category.clone());
    Ok(Choices { dir, category, paused, sequential, ..usual.clone() })
}

pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())?;
    given.split(';').next().map(|media| media.trim().to_ascii_lowercase())
}

/// How long a body is, if that is said.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Refuses what is too long before any of it is read.
pub(crate) fn check_length(headers: &HeaderMap, most: usize) -> Result<(), Refusal> {
    if length(headers).is_some_and(|length| length > most as u64) { Err(too_long(most)) } else { Ok(()) }
}

fn too_long(most: usize) -> Refusal {
    let detail = format!("the body may have {most} bytes at most");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", detail)
}

async fn receive(body: Body, most: usize) -> Result<Vec<u8>, Refusal> {
    match timeout(UPLOAD_TIMEOUT, axum::body::to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => Err(too_long(most)),
        Err(_) => {
            let detail = "the body did not arrive in time";
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow", detail))
        }
    }
}

pub(crate) async fn receive_json(request: Request) -> Result<Vec<u8>, Refusal> {
    check_length(request.headers(), MAX_JSON)?;
    receive(request.into_body(), MAX_JSON).await
}

pub(crate) fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // A list would be taken for an object without names.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::bad("the body must be a JSON object"));
    }
    let wrong = |error| Refusal::bad(format!("the body is not what is expected: {error}"));
    serde_json::from_slice(body).map_err(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_long_body_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, MAX_TORRENT.into());
        assert!(check_length(&headers, MAX_TORRENT).is_ok());
        headers.insert(header::CONTENT_LENGTH, (MAX_TORRENT + 1).into());
        assert!(check_length(&headers, MAX_TORRENT).is_err());
    }

    #[tokio::test]
    async fn json_has_an_end() {
        let request = |length: usize| Request::new(Body::from(vec![b' '; length]));
        assert_eq!(receive_json(request(MAX_JSON)).await.unwrap().len(), MAX_JSON);
        let told = receive_json(request(MAX_JSON + 1)).await.unwrap_err();
        assert!(format!("{told:?}").contains("413"), "{told:?}");
    }

    #[test]
    fn a_source_is_a_link_or_a_url() {
        let read = |text: &str| named(text.as_bytes());
        assert!(matches!(read(r#"{"source":"MAGNET:?xt=urn:btih:00"}"#), Ok(Given::Magnet(_))));
        assert!(matches!(read(r#"{"source":"HTTPS://x/y"}"#), Ok(Given::Url(_))));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"source":1}"#,
            r#"{"source":""}"#,
            r#"{"source":"file:///etc/passwd"}"#,
            r#"{"source":"/etc/passwd"}"#,
            r#"{"source":"ftp://x"}"#,
            r#"{"source":"http://x","more":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
