//! Which pieces of a torrent there are.

use super::stream::{BUSY_WAIT, not_running, running};
use super::{State, info_hash, json};
use crate::error::Refusal;
use api::{Pieces, Problem};
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::Response;
use engine::PieceMap;
use std::fmt::Write;
use std::sync::Arc;
use tokio::time::timeout;

/// The pieces of a torrent that runs.
#[utoipa::path(get, path = "/api/v1/torrents/{id}/pieces", params(("id" = String, Path, description = "the torrent's id")),
    security(("token" = ["read"])), responses(
    (status = 200, body = Pieces),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "the torrent does not run"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn pieces(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Response<Body>, Refusal> {
    let torrent = running(&state, info_hash(&id)?).await?;
    let PieceMap { length, have, begun } =
        timeout(BUSY_WAIT, torrent.pieces()).await.map_err(|_| Refusal::busy())?.map_err(not_running)?;
    let digits = have.as_bytes().iter().fold(String::new(), |mut digits, byte| {
        // A string takes everything.
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    Ok(json(&Pieces { count: have.len(), length, have: digits, begun }))
}
