//! Limits that hold at some hours of some days, by the clock on the wall.

use super::settings::given_or_null;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// Limits that take the place of others at some hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlternativeLimits {
    /// Instead of [`Settings::max_down`](crate::Settings::max_down).
    pub max_down: Option<u64>,
    /// Instead of [`Settings::max_up`](crate::Settings::max_up).
    pub max_up: Option<u64>,
    /// On which days they come into force.
    pub days: BTreeSet<Day>,
    /// When they do, as `22:30`.
    #[schema(value_type = String, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub from: Clock,
    /// When they no longer hold, likewise; of the next day, unless that is later than `from`.
    #[schema(value_type = String, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub to: Clock,
}

/// What is to be otherwise of them. Where there were none, what is not named is: no limit, all days, the whole day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlternativeChange {
    /// See [`AlternativeLimits::max_down`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub max_down: Option<Option<u64>>,
    /// See [`AlternativeLimits::max_up`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given_or_null")]
    #[schema(value_type = Option<u64>)]
    pub max_up: Option<Option<u64>>,
    /// See [`AlternativeLimits::days`].
    #[serde(skip_serializing_if = "Option::is_none")]
    // One that is said twice is no fault.
    #[schema(value_type = Option<Vec<Day>>)]
    pub days: Option<BTreeSet<Day>>,
    /// See [`AlternativeLimits::from`].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub from: Option<Clock>,
    /// See [`AlternativeLimits::to`].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub to: Option<Clock>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All of them, from Monday on.
    pub const ALL: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Day::Mon => "mon",
            Day::Tue => "tue",
            Day::Wed => "wed",
            Day::Thu => "thu",
            Day::Fri => "fri",
            Day::Sat => "sat",
            Day::Sun => "sun",
        }
    }
}

/// A time of the day: minutes since midnight, written as `22:30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(u16);

impl Clock {
    /// That many minutes after midnight; the next day begins anew.
    pub fn new(minutes: u16) -> Clock {
        Clock(minutes % (24 * 60))
    }

    /// Minutes since midnight, less than 1440.
    pub fn minutes(self) -> u16 {
        self.0
    }
}

impl FromStr for Clock {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Clock, &'static str> {
        let parts = text.split_once(':').and_then(|(hour, minute)| {
            let part = |text: &str, below: u16| {
                let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse::<u16>().ok().filter(|number| is_plain && *number < below)
            };
            Some(part(hour, 24)? * 60 + part(minute, 60)?)
        });
        parts.map(Clock).ok_or("a time is given like \"22:30\"")
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Clock, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn times_are_written_as_they_are_read() {
        for minutes in 0..24 * 60 {
            let clock = Clock::new(minutes);
            assert_eq!((clock.to_string().parse(), clock.minutes()), (Ok(clock), minutes));
        }
        for bad in ["", "24:00", "12:60", "1:00", "+1:00", "12:+1", "-1:00", "12", "12:00:00", "١٢:00"] {
            assert!(bad.parse::<Clock>().is_err(), "{bad}");
        }
    }

    #[test]
    fn days_have_their_names() {
        for day in Day::ALL {
            assert_eq!(serde_json::to_value(day).unwrap(), day.name());
        }
    }
}
