//! What damage has cost a session, or an upgrade changed, in words for people.

use crate::console::Console;
use crate::text::{counted, printable};
use engine::Kept;

/// Tells what of a session could not be read again, and where it was kept as it was.
pub(crate) fn tell(kept: &Kept, console: &Console) {
    if let Some(aside) = &kept.put_aside {
        let aside = aside.display();
        console
            .note(format_args!("the state was damaged; what could be read was kept, the rest is in {aside}"));
    }
    if let Some(older) = &kept.upgraded {
        console
            .note(format_args!("the state is of this version now; the older one is in {}", older.display()));
    }
    for name in &kept.lost_names {
        console.note(format_args!("lost: {}; add it again", printable(name)));
    }
    let unnamed = kept.lost.saturating_sub(kept.lost_names.len());
    if unnamed > 0 {
        console.note(format_args!("lost besides: {}", counted(unnamed as u64, "torrent")));
    }
}
