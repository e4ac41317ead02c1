//! How often messages of a channel are edited, all of them together.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How far apart edits in one channel are. Discord takes five in five seconds of a channel, however many messages it has.
pub(crate) const EDIT_APART: Duration = Duration::from_millis(1250);

/// When each channel may be edited again. Only channels that were edited just now are kept: no more than there are live
/// messages.
#[derive(Debug, Default)]
pub(crate) struct Pace(BTreeMap<u64, Instant>);

impl Pace {
    /// When an edit of that channel may be sent: its turn comes after those before it.
    pub(crate) fn turn(&mut self, channel: u64, now: Instant) -> Instant {
        self.0.retain(|_, next| *next > now);
        let turn = self.0.get(&channel).copied().unwrap_or(now);
        self.0.insert(channel, turn + EDIT_APART);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_is_edited_in_turns_and_others_do_not_wait() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let turns = [1, 1, 2, 1].map(|channel| pace.turn(channel, now) - now);
        assert_eq!(turns, [Duration::ZERO, EDIT_APART, Duration::ZERO, 2 * EDIT_APART]);
        let later = now + 2 * EDIT_APART;
        assert_eq!(pace.turn(1, later), now + 3 * EDIT_APART);
        assert_eq!(pace.turn(2, later), later);
        assert_eq!(pace.turn(3, now + 5 * EDIT_APART), now + 5 * EDIT_APART);
        assert_eq!(pace.0.len(), 1, "what is long ago is forgotten");
    }
}
