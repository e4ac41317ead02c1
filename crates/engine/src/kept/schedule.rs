//! Limits that hold at some hours of some days.

use jiff::Zoned;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Limits that take the place of those of all torrents at some hours of some days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlternativeLimits {
    /// Instead of [`max_down`](crate::SessionSettings::max_down).
    pub max_down: Option<u64>,
    /// Instead of [`max_up`](crate::SessionSettings::max_up).
    pub max_up: Option<u64>,
    /// On which days they come into force, from Monday on.
    pub days: [bool; 7],
    /// When they do, in minutes since midnight: less than 1440.
    pub from: u16,
    /// When they no longer hold, likewise; of the next day, unless that is later than `from`.
    pub to: u16,
}

/// A time of the week, as clocks on the wall show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Days since Monday.
    pub weekday: u8,
    /// Minutes since midnight.
    pub minute: u16,
}

impl LocalTime {
    /// That of here and now.
    pub(super) fn now() -> LocalTime {
        let now = Zoned::now();
        let part = |number: i8| number.unsigned_abs();
        LocalTime {
            weekday: part(now.weekday().to_monday_zero_offset()),
            minute: u16::from(part(now.hour())) * 60 + u16::from(part(now.minute())),
        }
    }
}

impl AlternativeLimits {
    /// Whether they hold at that time.
    pub fn hold_at(&self, time: LocalTime) -> bool {
        let LocalTime { weekday, minute } = time;
        let is_day = |weekday: u8| self.days[usize::from(weekday % 7)];
        if self.from < self.to {
            return is_day(weekday) && (self.from..self.to).contains(&minute);
        }
        is_day(weekday) && minute >= self.from || is_day(weekday + 6) && minute < self.to
    }

    pub(super) fn is_sound(&self) -> bool {
        self.from < DAY && self.to < DAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(days: &[usize], from: u16, to: u16) -> AlternativeLimits {
        let mut limits = AlternativeLimits { from, to, ..AlternativeLimits::default() };
        days.iter().for_each(|&day| limits.days[day] = true);
        limits
    }

    fn at(weekday: u8, hour: u16, minute: u16) -> LocalTime {
        LocalTime { weekday, minute: hour * 60 + minute }
    }

    #[test]
    fn hours_of_a_day() {
        let office = limits(&[0, 4], 9 * 60, 17 * 60 + 30);
        for (time, hold) in [
            (at(0, 8, 59), false),
            (at(0, 9, 0), true),
            (at(4, 17, 29), true),
            (at(4, 17, 30), false),
            (at(1, 12, 0), false),
        ] {
            assert_eq!(office.hold_at(time), hold, "{time:?}");
        }
    }

    #[test]
    fn nights_belong_to_the_day_on_which_they_begin() {
        let night = limits(&[6], 22 * 60, 6 * 60);
        for (time, hold) in [
            (at(6, 21, 59), false),
            (at(6, 22, 0), true),
            (at(0, 5, 59), true),
            (at(0, 6, 0), false),
            (at(6, 3, 0), false),
            (at(0, 23, 0), false),
        ] {
            assert_eq!(night.hold_at(time), hold, "{time:?}");
        }
    }

    #[test]
    fn whole_days_and_none() {
        let all = limits(&[0, 1, 2, 3, 4, 5, 6], 0, 0);
        let from_noon = limits(&[2], 720, 720);
        let week = (0..7).flat_map(|day| (0..DAY).map(move |minute| LocalTime { weekday: day, minute }));
        assert!(week.clone().all(|time| all.hold_at(time)));
        assert!(!week.clone().any(|time| limits(&[], 0, 0).hold_at(time)));
        assert_eq!(week.filter(|&time| from_noon.hold_at(time)).count(), usize::from(DAY));
        assert!(from_noon.hold_at(at(2, 12, 0)) && from_noon.hold_at(at(3, 11, 59)));
    }

    #[test]
    fn the_clock_shows_a_time_of_the_week() {
        let LocalTime { weekday, minute } = LocalTime::now();
        assert!(weekday < 7 && minute < DAY);
        assert!(!limits(&[], DAY, 0).is_sound() && !limits(&[], 0, DAY).is_sound());
    }
}
