//! Whose the daemon's files are, said as people expect of images: `PUID`, `PGID` and `UMASK`.

use crate::console::Console;
use crate::failure::{Failure, OrFail, kind};
use rustix::fs::Mode;
use rustix::process::{Gid, Uid, getuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use std::env;

/// Becomes who `PUID` and `PGID` name, if we are root, and takes away from files what `UMASK` (octal) names. To be called
/// while there is one thread: others would stay who they are.
pub(crate) fn take_over(console: &Console) -> Result<(), Failure> {
    if let Some(mask) = number("UMASK", 8, 0o777)? {
        rustix::process::umask(Mode::from_bits_truncate(mask));
    }
    // -1 has a meaning of its own.
    let most = u32::MAX - 1;
    let (user, group) = (number("PUID", 10, most)?, number("PGID", 10, most)?);
    let ours = getuid();
    if !ours.is_root() {
        if let Some(user) = user.filter(|&user| user != ours.as_raw()) {
            let user = format_args!(
                "PUID is {user}, but we run as {}; start the container with --user",
                ours.as_raw()
            );
            console.note(user);
        }
        return Ok(());
    }
    let threads =
        std::fs::read_dir("/proc/self/task").or_fail(kind::STARTUP, "cannot count our threads")?.count();
    if threads > 1 && user.or(group).is_some() {
        return Err(Failure::new(kind::STARTUP, "cannot become who PUID names: there are other threads"));
    }
    if let Some(group) = group {
        let doing = "cannot become the group that PGID names";
        let group = Gid::from_raw(group);
        set_thread_groups(&[group]).or_fail(kind::STARTUP, doing)?;
        set_thread_gid(group).or_fail(kind::STARTUP, doing)?;
    }
    if let Some(user) = user {
        set_thread_uid(Uid::from_raw(user)).or_fail(kind::STARTUP, "cannot become who PUID names")?;
    }
    Ok(())
}

fn number(name: &str, radix: u32, most: u32) -> Result<Option<u32>, Failure> {
    let Ok(text) = env::var(name) else { return Ok(None) };
    parse(name, text.trim(), radix, most)
}

fn parse(name: &str, text: &str, radix: u32, most: u32) -> Result<Option<u32>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_plain = text.chars().all(|c| c.is_digit(radix));
    let number = u32::from_str_radix(text, radix).ok().filter(|&number| is_plain && number <= most);
    let base = if radix == 8 { "an octal number" } else { "a number" };
    let wrong = || {
        Failure::new(kind::SETTING, format_args!("{name} must be {base}, and is '{}'", text.escape_debug()))
    };
    number.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_are_plain() {
        assert_eq!(parse("UMASK", "022", 8, 0o777).unwrap(), Some(0o22));
        assert_eq!(parse("PUID", "1000", 10, u32::MAX - 1).unwrap(), Some(1000));
        assert_eq!(parse("PUID", "", 10, u32::MAX - 1).unwrap(), None);
        for (text, radix, most) in [
            ("8", 8, 0o777),
            ("1000", 8, 0o777),
            ("+1", 10, 5),
            ("4294967295", 10, u32::MAX - 1),
            ("me", 10, 5),
        ] {
            assert!(parse("X", text, radix, most).is_err(), "{text}");
        }
    }
}
