//! From a [`Magnet`] to the text of a link.

use super::{Host, HostPort, Magnet};
use core::fmt::{self, Display, Write};

/// The link, the torrent's names first; everything that means something in URLs is escaped, but not in addresses, which
/// libtorrent reads as they stand.
impl Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("magnet:?xt=urn:")?;
        match (self.info_hash.v1(), self.info_hash.v2()) {
            (Some(v1), Some(v2)) => write!(f, "btih:{v1}&xt=urn:btmh:1220{v2}")?,
            (Some(v1), None) => write!(f, "btih:{v1}")?,
            (None, Some(v2)) => write!(f, "btmh:1220{v2}")?,
            (None, None) => {}
        }
        parameters(f, "dn", &self.name)?;
        parameters(f, "tr", &self.trackers)?;
        parameters(f, "ws", &self.web_seeds)?;
        self.peers.iter().try_for_each(|peer| write!(f, "&x.pe={peer}"))?;
        self.dht_nodes.iter().try_for_each(|node| write!(f, "&dht={node}"))?;
        let Some(ranges) = &self.select_only else { return Ok(()) };
        f.write_str("&so=")?;
        for (number, range) in ranges.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// `name:port`, with IPv6 addresses in brackets.
impl Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Ip(ip) => core::net::SocketAddr::new(*ip, self.port).fmt(f),
        }
    }
}

fn parameters<T: Display>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    values: impl IntoIterator<Item = T>,
) -> fmt::Result {
    values.into_iter().try_for_each(|value| {
        write!(f, "&{key}=")?;
        write!(Escaping(f), "{value}")
    })
}

/// Escapes what is written through it.
struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => {
                    self.0.write_char(char::from(byte))?;
                }
                _ => write!(self.0, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}
