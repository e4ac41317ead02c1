//! Shows every message of a download: `cargo run --example watch -- FILE.torrent FOLDER`

use engine::events::{Direction, EventKind};
use engine::{AddTorrent, Engine, Metainfo, Settings};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(torrent), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: watch FILE.torrent FOLDER".into());
    };
    let metainfo = Metainfo::parse(&std::fs::read(torrent)?)?;
    let settings = Settings::new(std::env::temp_dir().join("rawtorrent-example"));
    pollster::block_on(async {
        let engine = Engine::start(settings)?;
        let mut events = engine.events();
        engine.add(AddTorrent::new(metainfo, folder)).await?;
        while let Some(event) = events.next().await {
            let at = event.at.as_secs_f64();
            match event.kind {
                EventKind::Message { peer, direction, said, .. } => {
                    let arrow = if direction == Direction::Out { "->" } else { "<-" };
                    println!("{at:9.3} {arrow} {peer} {said}");
                }
                EventKind::Finished | EventKind::Stopped { .. } => break,
                other => println!("{at:9.3}    {other:?}"),
            }
        }
        println!("{} events were lost because this program was too slow", events.lost());
        engine.shutdown().await;
        Ok(())
    })
}
