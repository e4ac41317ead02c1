//! Sizes, rates and durations as people write and read them.
//!
//! Written by people: `K M G T` (also `KB` and so on) are powers of 1000, `Ki Mi Gi Ti` (also `KiB`) powers of
//! 1024, always bytes, upper or lower case. A rate is a size per second. Shown to people: powers of 1024.

use std::time::Duration;

pub(crate) use api::units::{Rate, Size, Span, percent};

/// `10M` is 10,000,000, `1.5GiB` is 1,610,612,736, `4096` is 4,096 bytes; what is left of a byte is dropped.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale = unit_scale(unit.trim_start()).ok_or_else(|| not_a_size(text))?;
    let (digits, decimals) = parse_decimal(number).ok_or_else(|| not_a_size(text))?;
    let bytes = digits.checked_mul(scale).map(|scaled| scaled / 10u128.pow(decimals));
    bytes.and_then(|b| u64::try_from(b).ok()).ok_or_else(|| format!("'{text}' is too large"))
}

/// A size per second, `/s` or not: `10M`, `1.5 MiB/s`. At least one byte.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text.trim().strip_suffix("/s").unwrap_or(text))? {
        0 => Err("a rate must be at least 1 byte per second; leave the option out for no limit".into()),
        rate => Ok(rate),
    }
}

/// `90s`, `30m`, `1h30m`, `2d`: numbers with units, largest first or not, summed.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration; write 90s, 30m, 1h30m or 2d");
    let mut rest = text.trim();
    let mut seconds = 0u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    if rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("'{rest}' has no unit; write {rest}s, {rest}m, {rest}h or {rest}d"));
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count: u64 = rest[..unit_at].parse().map_err(|_| wrong())?;
        let mut unit = rest[unit_at..].chars();
        let scale = match unit.next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 60 * 60,
            Some('d') => 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        let part = count.checked_mul(scale);
        seconds = part.and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        rest = unit.as_str().trim_start();
    }
    Ok(Duration::from_secs(seconds))
}

/// Shows a number with its digits in groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Shows Unix seconds as a date: `2026-11-20 23:15:20 UTC`; years beyond four digits as they are counted.
pub(crate) fn date(unix_seconds: i64) -> String {
    let (days, second) = (unix_seconds.div_euclid(86400), unix_seconds.rem_euclid(86400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn not_a_size(text: &str) -> String {
    format!("'{text}' is not a size; write 4096, 10M (10,000,000) or 1.5GiB (1,610,612,736)")
}

fn unit_scale(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let prefix = unit.strip_suffix('b').unwrap_or(&unit);
    let (letter, base) = match prefix.strip_suffix('i') {
        Some(letter) => (letter, 1024u128),
        None => (prefix, 1000u128),
    };
    match letter {
        "" if base == 1000 => Some(1),
        "k" => Some(base),
        "m" => Some(base.pow(2)),
        "g" => Some(base.pow(3)),
        "t" => Some(base.pow(4)),
        _ => None,
    }
}

/// More decimals than bytes in the largest unit (10^13 > 1 TiB) say nothing more.
const MAX_DECIMALS: usize = 13;

/// `12.5` is (125, 1): the digits as one number, and how many of them are decimals.
fn parse_decimal(number: &str) -> Option<(u128, u32)> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || decimals.is_empty() || decimals.contains('.') {
        return None;
    }
    let decimals = &decimals[..decimals.len().min(MAX_DECIMALS)];
    // At most 20 + 13 digits: far below 2^128 even when scaled.
    let whole: u64 = whole.parse().ok()?;
    let scale = u32::try_from(decimals.len()).ok()?;
    let fraction: u64 = decimals.parse().ok()?;
    Some((u128::from(whole) * 10u128.pow(scale) + u128::from(fraction), scale))
}

/// The Gregorian date of a day counted from 1970-01-01, for every day that Unix seconds can name.
///
/// Counted in eras of 400 years (146,097 days) that begin on 1 March, so that a leap day ends its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn so_many_decimals_are_read() {
        let with = |decimals| parse_decimal(&format!("1.{}", "3".repeat(decimals)));
        assert_eq!(with(MAX_DECIMALS - 1), Some((1_333_333_333_333, 12)));
        assert_eq!(with(MAX_DECIMALS), Some((13_333_333_333_333, 13)));
        assert_eq!([MAX_DECIMALS + 1, 1000].map(with), [with(MAX_DECIMALS); 2]);
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("10M", 10_000_000),
            ("10m", 10_000_000),
            ("10MB", 10_000_000),
            ("10 MB", 10_000_000),
            ("1.5GiB", 1_610_612_736),
            ("1.5gi", 1_610_612_736),
            ("2T", 2_000_000_000_000),
            ("0.5k", 500),
            ("7B", 7),
            ("1.9", 1),
            ("18446744073709551615", u64::MAX),
            ("1.00000000000000000000000000000000001K", 1000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5.2M", ".5M", "1.M", "1e6", "10X", "10iB", "1 0M", "ten", "１M"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_size("18446744073709551616").is_err());
        assert!(parse_size("99999999T").unwrap_err().contains("too large"));
    }

    #[test]
    fn rates_are_per_second_and_never_zero() {
        assert_eq!(parse_rate("10M"), Ok(10_000_000));
        assert_eq!(parse_rate("1.5 MiB/s"), Ok(1_572_864));
        assert!(parse_rate("0").unwrap_err().contains("no limit"));
        assert!(parse_rate("10M/m").is_err());
    }

    #[test]
    fn durations_as_people_write_them() {
        let seconds = |text| parse_duration(text).map(|d| d.as_secs());
        for (text, expected) in
            [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1h 30m", 5400), ("2d", 172_800), ("0s", 0)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "30", "m", "1.5h", "-3s", "3w", "99999999999999999999s", "18446744073709551615d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shown_to_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (10 * 1024 * 1024, "10.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(format!("[{:>11}]", Rate(1536)), "[  1.5 KiB/s]");
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (185, "3m 05s"), (7620, "2h 07m"), (435_600, "5d 01h")]
        {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(percent(999_999, 1_000_000), "99.9%");
        assert_eq!((percent(0, 0), percent(5, 5)), ("100.0%".into(), "100.0%".into()));
    }

    #[test]
    fn dates_of_known_seconds() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_216_520, "2026-11-20 23:15:20 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (-62_135_596_800, "0001-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds), text);
        }
        date(i64::MIN);
        date(i64::MAX);
    }

    proptest! {
        #[test]
        fn whole_numbers_of_every_unit_are_exact(n in 0u64..16_000, unit in 0usize..10, spaces in 0usize..2) {
            let (unit, scale) = [
                ("", 1), ("B", 1), ("k", 1000), ("KiB", 1 << 10), ("M", 1_000_000), ("Mi", 1 << 20),
                ("GB", 1_000_000_000), ("gib", 1 << 30), ("T", 1_000_000_000_000), ("TiB", 1u64 << 40),
            ][unit];
            prop_assert_eq!(parse_size(&format!("{n}{}{unit}", " ".repeat(spaces))), Ok(n * scale));
        }

        #[test]
        fn fractions_are_rounded_down(whole in 0u64..1000, thousandths in 0u64..1000) {
            let bytes = parse_size(&format!("{whole}.{thousandths:03}MiB")).unwrap();
            prop_assert_eq!(bytes, (whole * 1000 + thousandths) * (1 << 20) / 1000);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}") {
            let _ = (parse_size(&text), parse_rate(&text), parse_duration(&text));
        }

        #[test]
        fn what_is_shown_is_near_what_was_meant(bytes in any::<u64>()) {
            let shown = Size(bytes).to_string();
            let number: f64 = shown.split(' ').next().unwrap().parse().unwrap();
            prop_assert!(number < 1024.0);
            if let Ok(back) = parse_size(&shown) {
                prop_assert!(back.abs_diff(bytes) <= bytes / 19 + 1, "{} is shown as {}", bytes, shown);
            }
        }

        #[test]
        fn durations_add_up(h in 0u64..100, m in 0u64..100, s in 0u64..100) {
            prop_assert_eq!(parse_duration(&format!("{h}h{m}m{s}s")), Ok(Duration::from_secs(h * 3600 + m * 60 + s)));
        }

        #[test]
        fn dates_follow_one_another(day in -5_000_000i64..5_000_000) {
            let (y, m, d) = civil_from_days(day);
            let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            let length = match m { 2 if leap => 29, 2 => 28, 4 | 6 | 9 | 11 => 30, _ => 31 };
            let next = if d < length { (y, m, d + 1) } else if m < 12 { (y, m + 1, 1) } else { (y + 1, 1, 1) };
            prop_assert_eq!(civil_from_days(day + 1), next);
        }
    }
}
