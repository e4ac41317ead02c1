//! What the engine reports, a line each: what trackers complain of, with `-v` all that happens, with `-vv` every
//! message to and from peers and every piece as well.

use crate::console::Console;
use crate::text::{counted, printable};
use engine::{Direction, EventKind, Events};

/// Tells people until the engine has shut down.
///
/// Without `-v` only until there is a peer: until then the question is why nothing happens, afterwards reporting would
/// take time from the download.
pub(crate) async fn pass_on(mut events: Events, console: Console) {
    let mut lost = 0;
    while let Some(event) = events.next().await {
        if events.lost() > lost {
            console.note(format_args!("({} left out)", counted(events.lost() - lost, "event")));
            lost = events.lost();
        }
        if console.verbose() == 0 {
            if matches!(event.kind, EventKind::Handshake { .. }) {
                return;
            }
            if let Some(text) = complaint(&event.kind) {
                console.note(printable(&text));
            }
        } else if let Some(text) = line(&event.kind, console.verbose()) {
            // As long as git's short hashes: enough to tell a handful of torrents apart.
            let torrent: String = event.torrent.to_string().chars().take(8).collect();
            console.note(format_args!("{torrent} {:>9.3} {}", event.at.as_secs_f64(), printable(&text)));
        }
    }
}

/// What keeps trackers from helping.
fn complaint(event: &EventKind) -> Option<String> {
    match event {
        EventKind::AnnounceFailed { .. } | EventKind::Announced { warning: Some(_), .. } => line(event, 0),
        _ => None,
    }
}

fn line(event: &EventKind, verbose: u8) -> Option<String> {
    Some(match event {
        EventKind::Checking { pieces } => format!("checking {}", counted((*pieces).into(), "piece")),
        EventKind::Announcing { tracker, event: None } => format!("announcing to {tracker}"),
        EventKind::Announcing { tracker, event: Some(event) } => format!("announcing '{event}' to {tracker}"),
        EventKind::Announced { tracker, peers, warning: None } => {
            format!("{tracker} tells {}", counted(*peers as u64, "peer"))
        }
        EventKind::Announced { tracker, peers, warning: Some(warning) } => {
            format!("{tracker} tells {} and warns: {warning}", counted(*peers as u64, "peer"))
        }
        EventKind::AnnounceFailed { tracker, error } => format!("{tracker} failed: {error}"),
        EventKind::Dialing { peer } => format!("connecting to {peer}"),
        EventKind::DialFailed { peer, error } => format!("cannot connect to {peer}: {error}"),
        EventKind::Handshake { peer, direction: Direction::In, peer_id, client, extensions } => {
            let client = client.as_deref().unwrap_or("unknown client");
            format!("{peer} is {client} ({peer_id}), can do: {extensions}")
        }
        EventKind::Message { peer, direction, text, .. } if verbose > 1 => match direction {
            Direction::Out => format!("{peer} <- {text}"),
            Direction::In => format!("{peer} -> {text}"),
        },
        EventKind::Disconnected { peer, reason } => format!("{peer} disconnected: {reason}"),
        EventKind::PieceVerified { piece } if verbose > 1 => format!("piece {piece} is good"),
        EventKind::PieceFailed { piece } => format!("piece {piece} is bad, fetching it again"),
        EventKind::Banned { peer, reason } => format!("{peer} banned: {reason}"),
        EventKind::Finished => "finished".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_for_the_very_curious() {
        let peer = "127.0.0.1:6881".parse().unwrap();
        let text = "request piece 3, 16384 bytes at 0".into();
        let message = EventKind::Message { peer, direction: Direction::Out, name: "request", text };
        assert_eq!(line(&message, 1), None);
        assert_eq!(line(&message, 2).unwrap(), "127.0.0.1:6881 <- request piece 3, 16384 bytes at 0");
        let failed = EventKind::AnnounceFailed { tracker: "udp://t:1".into(), error: "no answer".into() };
        assert_eq!(line(&failed, 1), complaint(&failed));
        assert_eq!(complaint(&failed).unwrap(), "udp://t:1 failed: no answer");
        assert_eq!(complaint(&EventKind::PieceVerified { piece: 0 }), None);
    }
}
