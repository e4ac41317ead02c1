//! What is done to torrents. An order that was answered with 2xx is in the session's store.

use super::{State, info_hash, json};
use crate::error::Refusal;
use api::{AddQuery, Added, Problem, TORRENT};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, Response, StatusCode, header};
use engine::{Choices, Error, InfoHash, Metainfo};
use std::path::{Component, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of a torrent file that is added. A longer one is refused with 413; the engine takes no longer one either.
pub(crate) const MAX_TORRENT: usize = 64 * 1024 * 1024;
/// How long a torrent file may take to arrive. Then it is refused with 408.
pub(crate) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an order may take before it is answered with 503. It is carried out all the same.
const ORDER_WAIT: Duration = Duration::from_secs(10);
/// The longest path that is taken, in bytes, as systems have it. A longer one is refused.
pub(crate) const MAX_PATH: usize = 4096;

/// Adds a torrent, whose file is the body. One that is here already stays as it is.
#[utoipa::path(post, path = "/api/v1/torrents", params(AddQuery), security(("token" = ["manage"])),
    request_body(content = Vec<u8>, content_type = "application/x-bittorrent"), responses(
    (status = 200, body = Added, description = "it was here already"),
    (status = 201, body = Added),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "the folder is below no root"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "no torrent that can be used"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn add(
    Shared(state): Shared<Arc<State>>,
    query: Result<Query<AddQuery>, QueryRejection>,
    request: Request,
) -> Result<Response<Body>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::bad(error.body_text()))?;
    let choices = choices(&state, &query)?;
    check_type(request.headers())?;
    check_length(request.headers())?;
    let torrent = {
        let _room = state.uploads.acquire().await.map_err(|_| Refusal::busy())?;
        receive(request.into_body()).await?
    };
    let metainfo = Metainfo::parse(&torrent).map_err(|error| Refusal::from(Error::Torrent(error)))?;
    let info_hash = metainfo.info_hash();
    let id = info_hash.wire().to_string();
    if state.board.torrent(info_hash).is_some() {
        return Ok(json(&Added { id, created: false }));
    }
    let added =
        order(&state, info_hash, async |state| state.session.add(torrent, choices).await.map(drop)).await;
    match added {
        Ok(()) => {
            let mut answer = json(&Added { id: id.clone(), created: true });
            *answer.status_mut() = StatusCode::CREATED;
            if let Ok(place) = format!("/api/v1/torrents/{id}").parse() {
                answer.headers_mut().insert(header::LOCATION, place);
            }
            Ok(answer)
        }
        Err(Failed::Engine(Error::AlreadyAdded(_))) => Ok(json(&Added { id, created: false })),
        Err(failed) => Err(failed.into()),
    }
}

/// Stops a torrent and forgets it. Its files stay. One that is not here is no error.
#[utoipa::path(delete, path = "/api/v1/torrents/{id}", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), responses(
    (status = 204),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn remove(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let info_hash = info_hash(&id)?;
    match order(&state, info_hash, async move |state| state.session.remove(info_hash, false).await).await {
        Ok(()) | Err(Failed::Engine(Error::NotHere(_))) => Ok(StatusCode::NO_CONTENT),
        Err(failed) => Err(failed.into()),
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
    let info_hash = info_hash(&id)?;
    order(&state, info_hash, async move |state| state.session.pause(info_hash).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Goes on with a torrent that was paused, or that could not go on before.
#[utoipa::path(post, path = "/api/v1/torrents/{id}/resume", params(("id" = String, Path, description = "its id")),
    security(("token" = ["manage"])), responses(
    (status = 204),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "it cannot go on"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn resume(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let info_hash = info_hash(&id)?;
    order(&state, info_hash, async move |state| state.session.resume(info_hash).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why an order was not carried out, or not yet.
#[derive(Debug)]
enum Failed {
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

/// Carries out an order in a task of its own, so that it is carried out whoever hangs up; the board shows it before it is
/// answered.
async fn order<F>(
    state: &Arc<State>,
    info_hash: InfoHash,
    work: impl FnOnce(Arc<State>) -> F + Send + 'static,
) -> Result<(), Failed>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let permit = state.orders.clone().try_acquire_owned().map_err(|_| Failed::Refused(Refusal::busy()))?;
    let state = state.clone();
    let task = tokio::spawn(async move {
        let _permit = permit;
        let done = work(state.clone()).await;
        state.board.look_at(&state.session, info_hash);
        done
    });
    match timeout(ORDER_WAIT, task).await {
        Ok(Ok(done)) => done.map_err(Failed::Engine),
        Ok(Err(_)) => Err(Failed::Engine(Error::ShutDown)),
        Err(_) => {
            let detail = "it is not done yet, and goes on; ask again";
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "slow", detail);
            Err(Failed::Refused(refusal.again_after(5)))
        }
    }
}

fn choices(state: &State, query: &AddQuery) -> Result<Choices, Refusal> {
    let dir = match (&query.dir, state.roots.first()) {
        (Some(dir), _) => below_a_root(&state.roots, dir)?,
        (None, Some(root)) => root.clone(),
        (None, None) => return Err(Refusal::bad("the daemon has no folder for torrents (--root)")),
    };
    let usual = &state.usual;
    let paused = query.paused.unwrap_or(usual.paused);
    let sequential = query.sequential.unwrap_or(usual.sequential);
    Ok(Choices { dir, paused, sequential, ..usual.clone() })
}

/// A folder that torrents may go into: an absolute path without detours, below a root.
pub(crate) fn below_a_root(roots: &[PathBuf], dir: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(dir);
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain || dir.contains('\0') || dir.len() > MAX_PATH {
        return Err(Refusal::bad("'dir' must be an absolute path, without '..'"));
    }
    if !roots.iter().any(|root| path.starts_with(root)) {
        let detail = "'dir' is below none of the folders that the daemon may use (--root)";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "root", detail));
    }
    Ok(path)
}

fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = given.and_then(|given| given.split(';').next()).map(str::trim);
    if media.is_some_and(|media| media.eq_ignore_ascii_case(TORRENT)) {
        return Ok(());
    }
    let detail = format!("send the torrent file as {TORRENT}");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail))
}

/// Refuses what is too long before any of it is read.
pub(crate) fn check_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_TORRENT as u64) { Err(too_long()) } else { Ok(()) }
}

fn too_long() -> Refusal {
    let detail = format!("a torrent file has at most {MAX_TORRENT} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", detail)
}

async fn receive(body: Body) -> Result<Vec<u8>, Refusal> {
    match timeout(UPLOAD_TIMEOUT, axum::body::to_bytes(body, MAX_TORRENT)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => Err(too_long()),
        Err(_) => {
            let detail = "the torrent file did not arrive in time";
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn folders_stay_below_roots() {
        let roots = [PathBuf::from("/srv/media"), PathBuf::from("/data")];
        for good in ["/srv/media", "/srv/media/", "/srv/media/a/b", "/data/x", "/srv//media/x"] {
            assert!(below_a_root(&roots, good).is_ok(), "{good}");
        }
        let long = format!("/data/{}", "x".repeat(MAX_PATH));
        for bad in [
            "",
            "x",
            "./x",
            "/",
            "/srv",
            "/srv/mediax",
            "/srv/media/../x",
            "/srv/media/..",
            "/etc",
            "/data/\0",
            "../data",
            &long,
            "//etc",
            "/srv/media/a/../../..",
        ] {
            assert!(below_a_root(&roots, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_body_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, MAX_TORRENT.into());
        assert!(check_length(&headers).is_ok());
        headers.insert(header::CONTENT_LENGTH, (MAX_TORRENT + 1).into());
        assert!(check_length(&headers).is_err());
    }
}
