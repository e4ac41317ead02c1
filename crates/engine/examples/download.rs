//! Downloads one torrent: `cargo run --example download -- FILE.torrent FOLDER`
//!
//! The engine's async methods work on any executor; this one is the smallest there is.

use engine::{AddTorrent, Engine, Metainfo, Settings};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(torrent), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: download FILE.torrent FOLDER".into());
    };
    let metainfo = Metainfo::parse(&std::fs::read(torrent)?)?;
    let settings = Settings::new(std::env::temp_dir().join("rawtorrent-example"));
    pollster::block_on(async {
        let engine = Engine::start(settings)?;
        let torrent = engine.add(AddTorrent::new(metainfo, folder)).await?;
        let finished = torrent.wait_finished().await?;
        println!("{} bytes in {:.1?}: {}", finished.bytes, finished.elapsed, finished.path.display());
        engine.shutdown().await;
        Ok(())
    })
}
