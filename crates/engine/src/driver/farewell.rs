//! The last words to trackers.

use super::outside::{Announces, Outside};
use crate::announcer::Web;
use crate::events::EventKind;
use crate::stats::Counters;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::time::Duration;
use types::Time;

/// How long the last words to trackers and the last sync may take together.
pub(super) const END_DEADLINE: Duration = Duration::from_millis(2400);
/// How long, of that, an announce with an event that is under way is waited for.
const LAST_ANSWER: Duration = Duration::from_millis(1000);

pub(super) struct Farewell<'a> {
    pub(super) web: &'a Web,
    pub(super) outside: Outside,
    pub(super) run: (Counters, u64),
}

impl Farewell<'_> {
    /// Lets trackers answer what they were told last (or `stopped` could overtake it), then tells all that list us.
    pub(super) async fn say(mut self, now: impl Fn() -> Time, tell: impl Fn(EventKind)) {
        let answers = async {
            while let Some(announced) = self.outside.announces.next().await {
                tell(announced.event());
                self.outside.announcer.note(now(), announced);
            }
        };
        let _ = tokio::time::timeout(LAST_ANSWER, answers).await;
        self.outside.announces = Announces::default();
        self.outside.announcer.stop(now());
        let mut farewells = FuturesUnordered::new();
        loop {
            while let Some(announce) = self.outside.announcer.poll(now(), || self.run) {
                tell(announce.event());
                farewells.push(announce.make_last(self.web));
            }
            let Some(announced) = farewells.next().await else { return };
            tell(announced.event());
            self.outside.announcer.note(now(), announced);
        }
    }
}
