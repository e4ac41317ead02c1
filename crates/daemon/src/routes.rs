//! The routes: one table, the OpenAPI document, and what answers.

pub(crate) mod list;
pub(crate) mod orders;
pub(crate) mod pieces;
mod settings;
pub(crate) mod stream;
mod watched;
pub(crate) mod why;

use self::orders::ORDER_WAIT;
use crate::access::Access;
use crate::audit::Audit;
use crate::board::Board;
use crate::error::Refusal;
use crate::guard::{not_so, nothing};
use crate::shares::{Room, Shares};
use crate::tokens::Scope;
use crate::{events, metrics, roots, trace};
use api::{About, Health};
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json as AxumJson, Router};
use engine::{Choices, InfoHash, Session};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use utoipa::OpenApi;

/// Orders that somebody waits for. Further ones are refused with 503.
pub(crate) const MAX_ORDERS: usize = 256;
/// Orders to one torrent that are under way, also those that nobody waits for any more since a disk hangs. Further ones are
/// refused with 503.
pub(crate) const MAX_ORDERS_EACH: usize = 8;
/// Torrents that are being added below one root. Further ones are refused with 503.
pub(crate) const MAX_ADDS_EACH: usize = 128;
/// Looks at the folders below one root at a time, each on a thread of its own. Who wants another one is refused with 503.
pub(crate) const MAX_LOOKS_EACH: usize = 16;
/// Torrent files that are received beside each other, each of up to [`orders::MAX_TORRENT`] bytes. Further ones wait.
pub(crate) const MAX_UPLOADS: usize = 4;

/// Every route: its method, its path, and what a token must allow; `None`: whoever can reach it, without a token.
pub const ROUTES: &[(&str, &str, Option<Scope>)] = &[
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", Some(Scope::Read)),
    ("GET", "/api/v1", Some(Scope::Read)),
    ("GET", "/api/v1/openapi.json", Some(Scope::Read)),
    ("GET", "/api/v1/events", Some(Scope::Read)),
    ("GET", "/api/v1/trace", Some(Scope::Read)),
    ("GET", "/api/v1/torrents", Some(Scope::Read)),
    ("POST", "/api/v1/torrents", Some(Scope::Manage)),
    ("GET", "/api/v1/torrents/{id}", Some(Scope::Read)),
    ("DELETE", "/api/v1/torrents/{id}", Some(Scope::Manage)),
    ("GET", "/api/v1/torrents/{id}/files", Some(Scope::Read)),
    ("GET", "/api/v1/torrents/{id}/files/{index}", Some(Scope::Read)),
    ("GET", "/api/v1/torrents/{id}/peers", Some(Scope::Read)),
    ("GET", "/api/v1/torrents/{id}/pieces", Some(Scope::Read)),
    ("GET", "/api/v1/torrents/{id}/why", Some(Scope::Read)),
    ("POST", "/api/v1/torrents/{id}/pause", Some(Scope::Manage)),
    ("POST", "/api/v1/torrents/{id}/resume", Some(Scope::Manage)),
    ("POST", "/api/v1/torrents/{id}/recheck", Some(Scope::Manage)),
    ("POST", "/api/v1/torrents/{id}/move", Some(Scope::Manage)),
    ("POST", "/api/v1/torrents/{id}/queue", Some(Scope::Manage)),
    ("PATCH", "/api/v1/torrents/{id}/trackers", Some(Scope::Manage)),
    ("GET", "/api/v1/watch", Some(Scope::Read)),
    ("POST", "/api/v1/watch", Some(Scope::Admin)),
    ("DELETE", "/api/v1/watch", Some(Scope::Admin)),
    ("POST", "/api/v1/torrents/{id}/reannounce", Some(Scope::Manage)),
    ("GET", "/api/v1/torrents/{id}/trackers", Some(Scope::Read)),
    ("GET", "/api/v1/torrents/{id}/settings", Some(Scope::Read)),
    ("PATCH", "/api/v1/torrents/{id}/settings", Some(Scope::Manage)),
    ("GET", "/api/v1/settings", Some(Scope::Read)),
    ("PATCH", "/api/v1/settings", Some(Scope::Admin)),
];

/// What the handlers share.
pub(crate) struct State {
    pub(crate) session: Arc<Session>,
    pub(crate) board: Board,
    pub(crate) access: Arc<Access>,
    pub(crate) audit: Audit,
    /// Where torrents may go; the first is where they go if nothing is said.
    pub(crate) roots: Arc<RwLock<Vec<PathBuf>>>,
    pub(crate) usual: Choices,
    pub(crate) orders: Semaphore,
    pub(crate) under_way: Shares<UnderWay>,
    pub(crate) looks: Shares<PathBuf>,
    pub(crate) uploads: Semaphore,
    pub(crate) listeners: Room,
    pub(crate) streams: Room,
    pub(crate) traces: Room,
    pub(crate) closing: watch::Receiver<bool>,
}

/// What an order that is under way has to do with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UnderWay {
    Torrent(InfoHash),
    /// Something is added below this root.
    Add(PathBuf),
}

impl State {
    /// See [`roots::below_a_root`].
    pub(crate) fn below_a_root(&self, dir: &str) -> Result<PathBuf, Refusal> {
        roots::below_a_root(&self.all_roots(), dir)
    }

    /// A folder that torrents are to go into: neither its path nor a link on the way to it leads out of the roots.
    pub(crate) async fn place(&self, dir: &str) -> Result<PathBuf, Refusal> {
        let roots = self.all_roots();
        let path = roots::below_a_root(&roots, dir)?;
        let look =
            self.looks.take(roots::root_of(&roots, &path), MAX_LOOKS_EACH).ok_or_else(Refusal::busy)?;
        let looked = tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                let _look = look;
                roots::leads_below_one(&roots, &path)
            }
        });
        match timeout(ORDER_WAIT, looked).await {
            Ok(Ok(true)) => Ok(path),
            Ok(Ok(false)) => {
                let detail = "a link on the way to the folder leads out of those that the daemon may use; name where it leads (--root)";
                Err(Refusal::new(StatusCode::FORBIDDEN, "root", detail))
            }
            Ok(Err(_)) | Err(_) => Err(Refusal::slow("the folder does not answer")),
        }
    }

    pub(crate) fn all_roots(&self) -> Vec<PathBuf> {
        self.roots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All routes, with nothing in front.
pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1", get(about))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/trace", get(trace::trace))
        .route("/api/v1/torrents", get(list::torrents).post(orders::add))
        .route("/api/v1/torrents/{id}", get(list::torrent).delete(orders::remove))
        .route("/api/v1/torrents/{id}/files", get(list::files))
        .route("/api/v1/torrents/{id}/files/{index}", get(stream::file))
        .route("/api/v1/torrents/{id}/peers", get(stream::peers))
        .route("/api/v1/torrents/{id}/pieces", get(pieces::pieces))
        .route("/api/v1/torrents/{id}/why", get(why::why))
        .route("/api/v1/torrents/{id}/pause", post(orders::pause))
        .route("/api/v1/torrents/{id}/resume", post(orders::resume))
        .route("/api/v1/torrents/{id}/recheck", post(orders::recheck))
        .route("/api/v1/torrents/{id}/move", post(orders::move_to))
        .route("/api/v1/torrents/{id}/queue", post(orders::queue))
        .route("/api/v1/watch", get(watched::watched).post(watched::watch).delete(watched::unwatch))
        .route("/api/v1/torrents/{id}/reannounce", post(orders::reannounce))
        .route("/api/v1/torrents/{id}/trackers", get(stream::trackers).patch(orders::edit_trackers))
        .route("/api/v1/torrents/{id}/settings", get(settings::of_torrent).patch(settings::set_torrent))
        .route("/api/v1/settings", get(settings::of_all).patch(settings::set_all))
        .method_not_allowed_fallback(not_so)
        .fallback(nothing)
        .with_state(state)
}

/// What a route needs. One that is not in the table is for nobody.
pub(crate) fn needs(method: &Method, path: &str) -> Result<Option<Scope>, Refusal> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let row = ROUTES.iter().find(|row| row.0 == method.as_str() && row.1 == path);
    match row {
        Some(row) => Ok(row.2),
        // It will be told that the method is wrong, and needs no token to hear it.
        None if ROUTES.iter().any(|row| row.1 == path) => Ok(None),
        None => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "route", "this route is for nobody")),
    }
}

/// The API of the rawtorrent daemon.
#[derive(OpenApi)]
#[openapi(
    info(title = "rawtorrent", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    paths(
        health, ready, about, openapi, metrics::metrics, events::events, trace::trace, list::torrents, list::torrent, list::files,
        stream::file, stream::peers, stream::trackers, pieces::pieces, why::why, orders::add, orders::remove, orders::pause, orders::resume,
        orders::recheck, orders::move_to, orders::queue, orders::edit_trackers, watched::watched, watched::watch, watched::unwatch, orders::reannounce, settings::of_torrent, settings::set_torrent, settings::of_all,
        settings::set_all
    ),
    components(schemas(api::Problem, api::TraceBegan, api::TraceLost)),
    modifiers(&Token)
)]
struct Document;

/// That a token may be shown.
struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token made with 'rawtorrent token add'; not needed through a unix socket."));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    }
}

/// The OpenAPI 3.1 document of the API, as JSON.
pub fn document() -> String {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    tell_numbers(&mut document);
    let methods = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in methods.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        tell_guard(operation);
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// What a request hears that is not let in, on every route.
fn tell_guard(operation: &mut Value) {
    let refusals: &[(&str, &str)] = match operation.get("security") {
        Some(_) => &[
            ("400", "a header is no text, or is there twice"),
            ("401", "it shows no token, or one that is not known"),
            ("403", "it comes from a page elsewhere, or its token is for less"),
            ("421", "the daemon is not called that"),
            ("429", "too many wrong tokens came from there"),
        ],
        None => &[
            ("400", "a header is no text, or is there twice"),
            ("403", "it comes from a page elsewhere"),
            ("421", "the daemon is not called that"),
        ],
    };
    for &(status, description) in refusals {
        let known = operation["responses"].as_object_mut();
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        let content = json!({(api::PROBLEM_JSON): {"schema": schema}});
        let told = json!({"description": description, "content": content});
        known.map(|known| known.entry(status).or_insert(told));
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten();
    for id in parameters.filter(|parameter| parameter["name"] == "id") {
        id["schema"]["pattern"] = "^[0-9a-fA-F]{40}$".into();
    }
}

/// Whole numbers are of 64 bits without a sign, for which there is no format.
fn tell_numbers(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("format").is_some_and(|format| format == "int64") {
                object.remove("format");
                object.insert("maximum".into(), u64::MAX.into());
            }
            object.values_mut().for_each(tell_numbers);
        }
        Value::Array(array) => array.iter_mut().for_each(tell_numbers),
        _ => {}
    }
}

/// That the daemon lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health)))]
async fn health() -> AxumJson<Health> {
    AxumJson(Health { status: "ok".into() })
}

/// That the daemon has its torrents and takes orders.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, body = Health),
    (status = 503, body = api::Problem, content_type = "application/problem+json"),
))]
async fn ready(Shared(state): Shared<Arc<State>>) -> Result<AxumJson<Health>, Refusal> {
    if *state.closing.borrow() { Err(Refusal::busy()) } else { Ok(AxumJson(Health { status: "ok".into() })) }
}

/// Who answers.
#[utoipa::path(get, path = "/api/v1", responses((status = 200, body = About)), security(("token" = ["read"])))]
async fn about(Shared(state): Shared<Arc<State>>) -> AxumJson<About> {
    let (revision, all) = state.board.all();
    AxumJson(About {
        name: "rawtorrent".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        torrents: all.len(),
        revision,
        listen: state.session.engine().listen_addrs().iter().map(ToString::to_string).collect(),
    })
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = 200, body = Object)), security(("token" = ["read"])))]
async fn openapi() -> Response<Body> {
    json_text(document().into_bytes())
}

pub(crate) fn json(value: &impl Serialize) -> Response<Body> {
    // Plain data can always be written.
    json_text(serde_json::to_vec(value).unwrap_or_default())
}

fn json_text(text: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// What `make` answers, unless who asks has it already, as `If-None-Match` tells.
pub(crate) fn tagged(
    headers: &HeaderMap,
    revision: u64,
    make: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    let tag = format!("\"{revision}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|list| list.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let mut answer = if is_known { Response::new(Body::empty()) } else { make() };
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
        // It may be kept, but is to be asked for anew each time.
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    answer
}

/// The torrent that a path names.
pub(crate) fn info_hash(id: &str) -> Result<InfoHash, Refusal> {
    let v1 = id.parse().map_err(|_| Refusal::bad("an id is 40 hex digits"))?;
    Ok(InfoHash::V1(v1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_and_the_document_are_one() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
        let mut told = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let scope = operation["security"][0]["token"][0].as_str().map(str::to_owned);
                told.insert((method.to_uppercase(), path.clone(), scope));
            }
        }
        let table = ROUTES.iter().map(|&(method, path, scope)| {
            (method.to_owned(), path.to_owned(), scope.map(|scope| scope.to_string()))
        });
        assert_eq!(told, table.collect());
    }

    #[test]
    fn an_unknown_route_is_for_nobody() {
        assert!(needs(&Method::GET, "/api/v1/secret").is_err());
        assert_eq!(needs(&Method::HEAD, "/metrics").unwrap(), Some(Scope::Read));
        assert_eq!(needs(&Method::PUT, "/metrics").unwrap(), None);
    }
}
