//! Sizes, rates and durations of the API as people read them: powers of 1024.

use std::fmt;
use std::time::Duration;
pub use types::{Rate, Size};

/// Shows a duration by its two largest units: `42s`, `3m 05s`, `2h 07m`, `5d 01h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        let (m, h, d) = (s / 60, s / 3600, s / 86400);
        f.pad(&match s {
            0..60 => format!("{s}s"),
            60..3600 => format!("{m}m {:02}s", s % 60),
            3600..86400 => format!("{h}h {:02}m", m % 60),
            _ => format!("{d}d {:02}h", h % 24),
        })
    }
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Shows `part` of `whole` in percent with one decimal, rounded down: 100.0 % means all of it.
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = match whole {
        0 => 1000,
        _ => u128::from(part) * 1000 / u128::from(whole),
    };
    format!("{}.{}%", tenths / 10, tenths % 10)
}
