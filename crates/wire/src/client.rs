//! Which client a peer id belongs to (BEP 20).

use alloc::string::String;
use types::PeerId;

/// The client's name and version as far as its peer id tells, "qBittorrent 4.5.2".
pub fn name(_id: &PeerId) -> Option<String> {
    None
}
