//! Folders where torrents that appear are added.

use super::orders::{ORDER_WAIT, json_of};
use super::{State, json};
use crate::audit::Note;
use crate::error::Refusal;
use api::{Problem, Watched, WatchedQuery};
use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State as Shared};
use axum::http::{Response, StatusCode};
use engine::{WatchFolder, WatchedFolder};
use std::sync::Arc;
use tokio::time::timeout;

/// The folders that are watched.
#[utoipa::path(get, path = "/api/v1/watch", security(("token" = ["read"])), responses(
    (status = 200, body = Vec<Watched>),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn watched(Shared(state): Shared<Arc<State>>) -> Result<Response<Body>, Refusal> {
    let folders = timeout(ORDER_WAIT, state.session.watched()).await.map_err(|_| Refusal::busy())?;
    let told = folders.into_iter().map(|WatchedFolder { folder, away }| Watched {
        dir: folder.dir.to_string_lossy().into_owned(),
        to: folder.to.map(|to| to.to_string_lossy().into_owned()),
        category: folder.category,
        tags: folder.tags,
        paused: folder.paused,
        error: away,
    });
    Ok(json(&told.collect::<Vec<_>>()))
}

/// Has a folder watched; one that is already, in this way from now on.
#[utoipa::path(post, path = "/api/v1/watch", security(("token" = ["admin"])),
    request_body(content = Watched, content_type = "application/json"), responses(
    (status = 204),
    (status = 408, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn watch(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let Watched { dir, to, category, tags, paused, error: _ } = json_of(request).await?;
    note.tell("dir", &*dir);
    let dir = state.place(&dir).await?;
    let settings = timeout(ORDER_WAIT, state.session.settings()).await.map_err(|_| Refusal::busy())?;
    let has_place = category.as_ref().is_some_and(|category| settings.save_paths.contains_key(category));
    let to = match to {
        Some(to) => Some(state.place(&to).await?),
        None if has_place => None,
        None => state.all_roots().into_iter().next(),
    };
    let folder = WatchFolder { dir, to, category, tags, paused };
    timeout(ORDER_WAIT, state.session.watch(folder)).await.map_err(|_| Refusal::busy())??;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a folder watched no more. One that is not is no error.
#[utoipa::path(delete, path = "/api/v1/watch", params(WatchedQuery), security(("token" = ["admin"])), responses(
    (status = 204),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn unwatch(
    Shared(state): Shared<Arc<State>>,
    Extension(note): Extension<Note>,
    query: Result<Query<WatchedQuery>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let Query(WatchedQuery { dir }) = query.map_err(|error| Refusal::bad(error.body_text()))?;
    note.tell("dir", &*dir);
    timeout(ORDER_WAIT, state.session.unwatch(dir)).await.map_err(|_| Refusal::busy())??;
    Ok(StatusCode::NO_CONTENT)
}
