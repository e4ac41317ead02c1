//! What is told of torrents, all of it from the board.

use super::{State, info_hash, json, tagged};
use crate::access::Who;
use crate::error::Refusal;
use api::{File, ListQuery, Order, Problem, Torrent, Torrents};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State as Shared};
use axum::http::{HeaderMap, Response};
use std::sync::Arc;

/// The most bytes that can be searched for. More are refused.
pub(crate) const MAX_SEARCH: usize = 256;

/// The torrents that match: all, a page, or what changed.
#[utoipa::path(get, path = "/api/v1/torrents", params(ListQuery), security(("token" = ["read"])), responses(
    (status = 200, body = Torrents),
    (status = 304, description = "as the ETag in If-None-Match says"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn torrents(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::bad(error.body_text()))?;
    if query.search.as_ref().is_some_and(|search| search.len() > MAX_SEARCH) {
        return Err(Refusal::bad(format!("at most {MAX_SEARCH} bytes can be searched for")));
    }
    if query.since.is_some() && (query.offset.is_some() || query.limit.is_some()) {
        return Err(Refusal::bad("'since' answers all that changed: leave 'offset' and 'limit' out"));
    }
    let revision = state.board.revision();
    Ok(tagged(&headers, revision, || json(&masked(&who, select(&state, &query)))))
}

/// The same for who asks.
pub(crate) fn masked(who: &Who, mut torrents: Torrents) -> Torrents {
    torrents.torrents.iter_mut().for_each(|torrent| mask(who, torrent));
    torrents
}

fn mask(who: &Who, torrent: &mut Torrent) {
    torrent.error.iter_mut().for_each(|error| who.mask(error));
}

fn select(state: &State, query: &ListQuery) -> Torrents {
    let news = query.since.and_then(|since| state.board.since(since));
    let full = news.is_none();
    let (revision, mut found, mut removed) = news.unwrap_or_else(|| {
        let (revision, all) = state.board.all();
        (revision, all, Vec::new())
    });
    let search = query.search.as_ref().map(|search| search.to_lowercase());
    found.retain(|torrent| {
        let matches = query.state.is_none_or(|state| torrent.state == state)
            && query.category.as_ref().is_none_or(|category| torrent.category.as_ref() == Some(category))
            && query.tag.as_ref().is_none_or(|tag| torrent.tags.contains(tag))
            && search.as_ref().is_none_or(|search| torrent.name.to_lowercase().contains(search));
        if !matches && !full {
            // It may have matched before.
            removed.push(torrent.id.clone());
        }
        matches
    });
    sort(&mut found, query.sort.unwrap_or(Order::Added));
    if query.reverse == Some(true) {
        found.reverse();
    }
    let total = found.len();
    let page = found.iter().skip(query.offset.unwrap_or(0)).take(query.limit.unwrap_or(usize::MAX));
    let torrents = page.map(|torrent| Torrent::clone(torrent)).collect();
    Torrents { revision, full, total, torrents, removed }
}

fn sort(found: &mut [Arc<Torrent>], order: Order) {
    found.sort_by_key(|torrent| torrent.place);
    match order {
        Order::Added => {}
        Order::Name => found.sort_by_cached_key(|torrent| torrent.name.to_lowercase()),
        Order::Size => found.sort_by_key(|torrent| torrent.size),
        Order::State => found.sort_by_key(|torrent| torrent.state),
        Order::RateDown => found.sort_by_key(|torrent| torrent.rate_down),
        Order::RateUp => found.sort_by_key(|torrent| torrent.rate_up),
    }
}

/// One torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{id}", params(("id" = String, Path, description = "its id")),
    security(("token" = ["read"])), responses(
    (status = 200, body = Torrent),
    (status = 304, description = "as the ETag in If-None-Match says"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn torrent(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let torrent = state.board.torrent(info_hash(&id)?).ok_or_else(Refusal::not_here)?;
    let mut torrent = Torrent::clone(&torrent);
    mask(&who, &mut torrent);
    Ok(tagged(&headers, torrent.revision, || json(&torrent)))
}

/// The files of a torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{id}/files", params(("id" = String, Path, description = "the torrent's id")),
    security(("token" = ["read"])), responses(
    (status = 200, body = Vec<File>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn files(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    let files = state.board.files(info_hash(&id)?).ok_or_else(Refusal::not_here)?;
    Ok(json(&files))
}
