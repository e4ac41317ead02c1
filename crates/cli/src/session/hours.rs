//! Limits that hold at some hours of some days, as orders have them.

use engine::AlternativeLimits;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Limits that take the place of others at some hours.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Hours {
    max_down: Option<u64>,
    max_up: Option<u64>,
    days: Vec<Day>,
    from: Clock,
    to: Clock,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

const DAYS: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

/// Minutes since midnight, such as "22:30".
#[derive(Clone, Copy, Debug)]
struct Clock(u16);

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Clock, D::Error> {
        let text = String::deserialize(from)?;
        let parts = text.split_once(':').and_then(|(hour, minute)| {
            let part = |text: &str, below: u16| {
                text.parse::<u16>().ok().filter(|number| text.len() == 2 && *number < below)
            };
            Some(part(hour, 24)? * 60 + part(minute, 60)?)
        });
        parts.map(Clock).ok_or_else(|| D::Error::custom("a time is given like \"22:30\""))
    }
}

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

impl From<Hours> for AlternativeLimits {
    fn from(hours: Hours) -> AlternativeLimits {
        let mut days = [false; 7];
        hours.days.iter().for_each(|&day| days[day as usize] = true);
        let Hours { max_down, max_up, from: Clock(from), to: Clock(to), .. } = hours;
        AlternativeLimits { max_down, max_up, days, from, to }
    }
}

impl From<AlternativeLimits> for Hours {
    fn from(limits: AlternativeLimits) -> Hours {
        let days = DAYS.into_iter().zip(limits.days).filter(|&(_, is)| is).map(|(day, _)| day).collect();
        let AlternativeLimits { max_down, max_up, from, to, .. } = limits;
        Hours { max_down, max_up, days, from: Clock(from), to: Clock(to) }
    }
}
