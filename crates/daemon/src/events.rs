//! Server-Sent Events: what changes, as it happens.

use crate::access::{From, Who};
use crate::error::Refusal;
use crate::routes::State;
use crate::routes::list::masked;
use axum::extract::{Extension, State as Shared};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Streams of events at a time, and as many through unix sockets. Further ones are refused with 503.
pub(crate) const MAX_LISTENERS: usize = 64;
/// Those of one token, or of one address without; of IPv6 of one network (/64).
pub(crate) const MAX_LISTENERS_EACH: usize = 16;
/// How often something is sent when nothing happens, so that nobody between takes the stream for dead.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What changes, as it happens: events `changed` with a `Torrents` each, whose `id` is its revision. With `Last-Event-ID` it goes
/// on there; else, or if that is too long ago, the first event has all torrents.
#[utoipa::path(get, path = "/api/v1/events", security(("token" = ["read"])),
    params(("last-event-id" = Option<String>, Header, description = "the revision up to which everything is known")),
    responses(
    (status = 200, body = String, content_type = "text/event-stream"),
    (status = 400, body = api::Problem, content_type = "application/problem+json"),
    (status = 503, body = api::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn events(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    Extension(from): Extension<From>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let known = headers.get("last-event-id").map(|value| {
        let number = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| Refusal::bad("'Last-Event-ID' must be a revision"))
    });
    let known = known.transpose()?;
    let place = state.listeners.take(from, &who)?;
    let follow = state.board.follow();
    let closing = state.closing.clone();
    let gone = state.access.until_gone(who.clone());
    let start = (state, who, follow, closing, known);
    let stream = unfold(start, async |(state, who, mut follow, mut closing, known)| {
        // Somebody who is slow is told of many changes at once, never of each: nothing is kept for them.
        tokio::select! {
            now = follow.wait_for(|&now| known != Some(now)) => drop(now.ok()?),
            _ = closing.wait_for(|&closing| closing) => return None,
        }
        let news = masked(&who, state.board.news(known));
        let known = Some(news.revision);
        // Plain data can always be written, and has no line breaks.
        let event = Event::default().event("changed").id(news.revision.to_string());
        let event = event.data(serde_json::to_string(&news).unwrap_or_default());
        Some((Ok(event), (state, who, follow, closing, known)))
    });
    let held = stream.take_until(gone).map(move |event| {
        let _held = &place;
        event
    });
    Ok(Sse::new(held).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
