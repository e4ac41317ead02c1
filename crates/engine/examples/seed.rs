//! Makes a torrent of a file or folder and seeds it for a minute: `cargo run --example seed -- PATH TRACKER-URL`

use engine::create::CreateTorrent;
use engine::{AddTorrent, Engine, Metainfo, SeedGoal, Settings};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(tracker)) = (args.next().map(PathBuf::from), args.next()) else {
        return Err("usage: seed PATH TRACKER-URL".into());
    };
    let created =
        CreateTorrent::new(&path).tracker(tracker).make(|done, total| eprint!("\r{done}/{total}"))?;
    let file = format!("{}.torrent", created.name);
    std::fs::write(&file, &created.bytes)?;
    println!("\nwrote {file}: {} bytes in pieces of {}", created.total, created.piece_length);

    let folder = path.canonicalize()?.parent().ok_or("the root folder has no parent")?.to_path_buf();
    let goal = SeedGoal { time: Some(Duration::from_secs(60)), ..SeedGoal::default() };
    let add = AddTorrent::new(Metainfo::parse(&created.bytes)?, folder).seed_only(true).seed_goal(goal);
    pollster::block_on(async {
        let engine = Engine::start(Settings::new(std::env::temp_dir().join("rawtorrent-example")))?;
        let torrent = engine.add(add).await?;
        torrent.wait_stopped().await?;
        println!("{} bytes uploaded", torrent.stats().uploaded);
        engine.shutdown().await;
        Ok(())
    })
}
