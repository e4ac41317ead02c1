//! What is wanted of a torrent and of all, and changes of that (RFC 7396).

use super::orders::{ORDER_WAIT, from_json, media_type, on, receive_json};
use super::{State, info_hash, json};
use crate::audit::Note;
use crate::change;
use crate::error::Refusal;
use api::{JSON, MERGE_PATCH, Problem, Settings, SettingsChange, TorrentChange, TorrentSettings};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::time::timeout;

/// What is wanted of a torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{id}/settings", params(("id" = String, Path, description = "the torrent's id")),
    security(("token" = ["read"])), responses(
    (status = 200, body = TorrentSettings),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn of_torrent(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    let choices = state.board.choices(info_hash(&id)?).ok_or_else(Refusal::not_here)?;
    Ok(json(&change::torrent_settings(&choices)))
}

/// Changes what is wanted of a torrent; it goes on accordingly. What is not named stays, `null` takes a limit, goal or category
/// away.
#[utoipa::path(patch, path = "/api/v1/torrents/{id}/settings", params(("id" = String, Path, description = "the torrent's id")),
    security(("token" = ["manage"])),
    request_body(content((TorrentChange = "application/merge-patch+json"), (TorrentChange = "application/json"))), responses(
    (status = 200, body = TorrentSettings, description = "what is wanted now"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "its files are to be removed some time, and are below no root"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 408, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "it makes no sense for this torrent"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_torrent(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response<Body>, Refusal> {
    let torrent = info_hash(&id)?;
    let wanted: TorrentChange = read(request, &note).await?;
    // What may not be removed at once may not be removed later either.
    if wanted.removes_data()
        && let Some(torrent) = state.board.torrent(torrent)
    {
        state.below_a_root(&torrent.dir)?;
    }
    let edit = async move |state: Arc<State>, info_hash| {
        let edit = state.session.edit(info_hash, |choices| change::change_torrent(wanted, choices));
        edit.await.map(drop)
    };
    on(&state, &id, edit).await??;
    let choices = state.board.choices(torrent).ok_or_else(Refusal::not_here)?;
    Ok(json(&change::torrent_settings(&choices)))
}

/// What all torrents share.
#[utoipa::path(get, path = "/api/v1/settings", security(("token" = ["read"])), responses(
    (status = 200, body = Settings),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn of_all(Shared(state): Shared<Arc<State>>) -> Result<Response<Body>, Refusal> {
    let settings = timeout(ORDER_WAIT, state.session.settings()).await.map_err(|_| Refusal::busy())?;
    Ok(json(&change::settings(&settings)))
}

/// Changes what all torrents share; it is in force at once. What is not named stays, `null` takes a limit away.
#[utoipa::path(patch, path = "/api/v1/settings", security(("token" = ["admin"])),
    request_body(content((SettingsChange = "application/merge-patch+json"), (SettingsChange = "application/json"))), responses(
    (status = 200, body = Settings, description = "what they share now"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "a folder is below no root"),
    (status = 408, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "it makes no sense"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn set_all(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<Response<Body>, Refusal> {
    let wanted: SettingsChange = read(request, &note).await?;
    for dir in wanted.dirs() {
        state.place(dir).await?;
    }
    // Carried out whoever hangs up, as the engine sees to.
    let edit = state.session.edit_settings(move |settings| change::change_settings(wanted, settings));
    let settings = timeout(ORDER_WAIT, edit).await.map_err(|_| Refusal::busy())??;
    Ok(json(&change::settings(&settings)))
}

async fn read<T: DeserializeOwned>(request: Request, note: &Note) -> Result<T, Refusal> {
    match media_type(request.headers()).as_deref() {
        Some(JSON | MERGE_PATCH) => {
            let body = receive_json(request).await?;
            note.tell_all(&body);
            from_json(&body)
        }
        _ => {
            let detail = format!("send what is to change as {MERGE_PATCH} or {JSON}");
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail))
        }
    }
}
