//! Addresses as people and programs spell them who do not want them to be found: `203-0-113-5`, `0xCB007105`, `3405803781`.
//!
//! Nothing finds every spelling of every address without taking numbers that are none. What is looked for are the addresses
//! that are known where a text was said.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::IpAddr;

/// Spellings that are shorter stand for other things too often: `1` is 0.0.0.1.
const SHORTEST: usize = 7;

/// What may stand between the parts of an address.
const BETWEEN: [&str; 9] = [".", "-", ",", "_", ":", " ", "/", "|", ""];

/// Replaces each address in a text by `mask`, however it is spelled.
pub(crate) fn hide(text: &mut String, ips: &[IpAddr], mask: &str) {
    for spelling in ips.iter().flat_map(|ip| spellings(*ip)) {
        // Case is that of ASCII alone, so that places are the same ones in both.
        let lower = text.to_ascii_lowercase();
        if !lower.contains(&spelling) {
            continue;
        }
        let (mut masked, mut rest) = (String::with_capacity(text.len()), 0);
        for (at, _) in lower.match_indices(&spelling) {
            let before = &text[rest..at];
            masked.push_str(before.strip_suffix("0x").or(before.strip_suffix("0X")).unwrap_or(before));
            masked.push_str(mask);
            rest = at + spelling.len();
        }
        masked.push_str(&text[rest..]);
        *text = masked;
    }
}

/// Whether the bytes have one of the addresses in them, as itself.
pub(crate) fn is_in(bytes: &[u8], ips: &[IpAddr]) -> bool {
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    ips.iter().any(|ip| match ip.to_canonical() {
        IpAddr::V4(ip) => has(&ip.octets()),
        IpAddr::V6(ip) => has(&ip.octets()),
    })
}

/// In lower case, those that hold others first.
fn spellings(ip: IpAddr) -> Vec<String> {
    let mut all = Vec::new();
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mut parts = ip.octets();
            for _ in 0..2 {
                joined(&mut all, &parts, |out, part| write!(out, "0x{part:x}"));
                joined(&mut all, &parts, |out, part| write!(out, "0x{part:02x}"));
                joined(&mut all, &parts, |out, part| write!(out, "{part:03}"));
                joined(&mut all, &parts, |out, part| write!(out, "{part}"));
                joined(&mut all, &parts, |out, part| write!(out, "{part:02x}"));
                joined(&mut all, &parts, |out, part| write!(out, "{part:x}"));
                joined(&mut all, &parts, |out, part| write!(out, "0{part:o}"));
                all.push(u32::from_be_bytes(parts).to_string());
                // The other way round, as names of hosts have it, and little-endian machines.
                parts.reverse();
            }
        }
        IpAddr::V6(ip) => {
            joined(&mut all, &ip.segments(), |out, part| write!(out, "{part:04x}"));
            joined(&mut all, &ip.segments(), |out, part| write!(out, "{part:x}"));
            joined(&mut all, &ip.octets(), |out, part| write!(out, "{part:02x}"));
            let short = ip.to_string();
            all.extend(BETWEEN.iter().filter(|by| !by.is_empty()).map(|by| short.replace(':', by)));
            all.push(u128::from_be_bytes(ip.octets()).to_string());
        }
    }
    all.retain(|spelling| spelling.len() >= SHORTEST);
    all
}

fn joined<T: Copy>(all: &mut Vec<String>, parts: &[T], spell: impl Fn(&mut String, T) -> core::fmt::Result) {
    for between in BETWEEN {
        let mut text = String::new();
        for (index, part) in parts.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { between });
            // A string takes everything.
            let _ = spell(&mut text, *part);
        }
        all.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn an_address_is_found_however_it_is_spelled() {
        let v4: IpAddr = "203.0.113.5".parse().unwrap();
        let v6: IpAddr = "2001:db8:7::9".parse().unwrap();
        for spelled in [
            "203-0-113-5",
            "203,0,113,5",
            "203_0_113_5",
            "203 0 113 5",
            "203.000.113.005",
            "203000113005",
            "5.113.0.203",
            "0xCB007105",
            "0xcb.0x0.0x71.0x5",
            "cb007105",
            "CB:00:71:05",
            "057100CB",
            "3405803781",
            "0313.00.0161.05",
            "20010DB8000700000000000000000009",
            "2001-db8-7-0-0-0-0-9",
            "2001-db8-7--9",
            "20:01:0d:b8:00:07:00:00:00:00:00:00:00:00:00:09",
            "42540766411291055337641287355876769801",
        ] {
            let mut text = format!("é you are {spelled}!");
            hide(&mut text, &[v4, v6], "(address)");
            assert_eq!(text, "é you are (address)!", "{spelled}");
        }
        for other in ["203-0-113-6", "cb007106", "qBittorrent 5.1", "3405803780", "libtorrent/2.1.1.0"] {
            let mut text = other.to_string();
            hide(&mut text, &[v4, v6, "0.0.0.1".parse().unwrap()], "(address)");
            assert_eq!(text, other);
        }
    }

    #[test]
    fn an_address_is_found_as_bytes() {
        let ips = ["203.0.113.5".parse().unwrap(), "2001:db8:7::9".parse().unwrap()];
        assert!(is_in(b"-XX0000-\xcb\0\x71\x05ab", &ips) && !is_in(b"-XX0000-\xcb\0\x71\x06ab", &ips));
    }
}
