//! What torrents and their peers say, as it happens, as Server-Sent Events.

use crate::access::{From, Who};
use crate::error::Refusal;
use crate::events::KEEP_ALIVE;
use crate::routes::State;
use crate::shares::Place;
use crate::tokens::Scope;
use api::{Problem, TraceBegan, TraceLost, TraceQuery};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use engine::events::{Filter, VERSION};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Streams of what is said at a time, and as many through unix sockets; each may hold 32 MiB that were not read yet. Further
/// ones are refused with 503.
pub(crate) const MAX_TRACES: usize = 8;
/// Those of one token, or of one address without; of IPv6 of one network (/64).
pub(crate) const MAX_TRACES_EACH: usize = 4;

/// What torrents and their peers say from now on: an event `began`, then events `trace`, and `lost` where some were lost since
/// they came faster than they were read. Addresses and the keys of trackers are left out.
#[utoipa::path(get, path = "/api/v1/trace", params(TraceQuery), security(("token" = ["read"])), responses(
    (status = 200, body = String, content_type = "text/event-stream",
     description = "began: TraceBegan; trace: an event, version 1 (docs/trace.md); lost: TraceLost"),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 403, body = Problem, content_type = "application/problem+json", description = "addresses are for scope admin"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn trace(
    Shared(state): Shared<Arc<State>>,
    Extension(who): Extension<Who>,
    Extension(from): Extension<From>,
    query: Result<Query<TraceQuery>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::bad(error.body_text()))?;
    let filter = filter(&query)?;
    let addresses = query.addresses == Some(true);
    if (addresses || filter.names_addresses()) && who.scope < Scope::Admin {
        let detail =
            format!("addresses need a token for '{}', and this one is for '{}'", Scope::Admin, who.scope);
        return Err(Refusal::new(StatusCode::FORBIDDEN, "scope", detail));
    }
    let place = state.traces.take(from, &who)?;
    let engine = state.session.engine();
    let events = engine.listen(filter);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let began = now.saturating_sub(engine.uptime()).as_secs_f64();
    let listener = Listener {
        events: if addresses { events.with_addresses() } else { events },
        first: Some(TraceBegan { v: VERSION, began }),
        next: None,
        told: Losses::default(),
        closing: state.closing.clone(),
        _place: place,
    };
    let stream = unfold(listener, async |mut listener| Some((Ok(listener.hear().await?), listener)));
    let stream = stream.take_until(state.access.until_gone(who));
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Listener {
    events: engine::Events,
    /// Not told yet.
    first: Option<TraceBegan>,
    /// Heard, and to be told after what was lost before it.
    next: Option<engine::Event>,
    told: Losses,
    closing: watch::Receiver<bool>,
    _place: Place,
}

impl Listener {
    async fn hear(&mut self) -> Option<Event> {
        if let Some(began) = self.first.take() {
            return Some(told("began", &began));
        }
        if self.next.is_none() {
            self.next = tokio::select! {
                event = self.events.next() => Some(event?),
                _ = self.closing.wait_for(|&closing| closing) => return None,
            };
        }
        if let Some(lost) = self.told.news(self.events.lost()) {
            return Some(told("lost", &lost));
        }
        self.next.take().map(|event| told("trace", &event))
    }
}

/// How many events were lost when that was told last.
#[derive(Debug, Default)]
struct Losses(u64);

impl Losses {
    fn news(&mut self, lost: u64) -> Option<TraceLost> {
        let since = lost - std::mem::replace(&mut self.0, lost);
        (since > 0).then_some(TraceLost { lost: since })
    }
}

/// Plain data can always be written, and has no line breaks.
fn told(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

fn filter(query: &TraceQuery) -> Result<Filter, Refusal> {
    let TraceQuery { torrent, peer, kind, direction, .. } = query;
    let mut terms = Vec::new();
    for (given, before) in [(torrent, "torrent="), (peer, "peer="), (kind, ""), (direction, "")] {
        let each = given.iter().flat_map(|given| given.split(','));
        terms.extend(each.map(|term| format!("{before}{}", term.trim())));
    }
    let ways = direction.iter().flat_map(|given| given.split(','));
    if let Some(way) = ways.map(str::trim).find(|&way| way != "in" && way != "out") {
        return Err(Refusal::bad(format!("'{way}' is no direction: there are in and out")));
    }
    terms.join(",").parse().map_err(|error: engine::events::FilterError| Refusal::bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_loss_is_told_once() {
        let mut told = Losses::default();
        let news = [0, 3, 3, 10].map(|lost| told.news(lost).map(|lost| lost.lost));
        assert_eq!(news, [None, Some(3), None, Some(7)]);
    }

    #[test]
    fn each_sort_of_the_query_is_one_of_the_filter() {
        let some = |text: &str| Some(text.to_owned());
        let query = TraceQuery {
            torrent: some("ab, cd"),
            peer: some("3"),
            kind: some("request,pieces"),
            direction: some("in"),
            addresses: None,
        };
        let same = "torrent=ab,torrent=cd,peer=3,request,pieces,in".parse().unwrap();
        assert_eq!(filter(&query).unwrap(), same);
        assert_eq!(filter(&TraceQuery::default()).unwrap(), Filter::all());
        for (wrong, what) in [
            (TraceQuery { direction: some("up"), ..TraceQuery::default() }, "'up' is no direction"),
            (TraceQuery { kind: some("nothing"), ..TraceQuery::default() }, "'nothing' is no kind"),
            (TraceQuery { peer: some("x"), ..TraceQuery::default() }, "'x' is neither"),
            (TraceQuery { torrent: some("x"), ..TraceQuery::default() }, "'x' is not the beginning"),
        ] {
            let told = format!("{:?}", filter(&wrong).unwrap_err());
            assert!(told.contains(what), "{told}");
        }
    }
}
