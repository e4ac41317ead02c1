//! What holds a torrent back.

use super::stream::BUSY_WAIT;
use super::{State, info_hash, json};
use crate::access::Who;
use crate::error::Refusal;
use crate::tokens::Scope;
use api::{Cause, Problem, Why};
use axum::body::Body;
use axum::extract::{Extension, Path, State as Shared};
use axum::http::Response;
use engine::Finding;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::timeout;

/// What holds a torrent back, the weightiest cause first, each with its evidence. Who only looks is told no address in it.
#[utoipa::path(get, path = "/api/v1/torrents/{id}/why", params(("id" = String, Path, description = "the torrent's id")),
    security(("token" = ["read"])), responses(
    (status = 200, body = Why),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn why(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    let info_hash = info_hash(&id)?;
    let mut found = timeout(BUSY_WAIT, state.session.why(info_hash)).await.map_err(|_| Refusal::busy())??;
    if who.scope <= Scope::Read {
        found.iter_mut().for_each(|finding| finding.cause.mask());
    }
    let causes = found.iter().map(told).collect();
    Ok(json(&Why { id: info_hash.wire().to_string(), causes }))
}

fn told(finding: &Finding) -> Cause {
    let Finding { weight, cause } = finding;
    // Plain data can always be written.
    let mut fields = serde_json::to_value(cause).unwrap_or_default();
    let name = fields["cause"].as_str().unwrap_or_default().to_owned();
    let evidence = match fields["evidence"].take() {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    Cause { cause: name, weight: *weight, says: cause.to_string(), advice: cause.advice().into(), evidence }
}
