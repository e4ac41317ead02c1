//! Downloads by a link that names nothing but the info-hash, while no tracker, no exchange and no local discovery is there.

use std::fs;
use std::path::Path;

use rawtorrent_tests::binary::{self, Session};
use rawtorrent_tests::content::{Sample, digest, hex};
use rawtorrent_tests::metafile::{self, PIECE_LEN};

use super::*;

const SAMPLE: Sample = Sample { name: "by-the-dht.bin", layout: &[("", 5 * PIECE_LEN + 3)] };

impl Lab {
    /// The binary seeds; the binary and libtorrent, by the link alone, find it.
    pub(crate) async fn links_are_enough(&mut self, capture: &Capture) {
        let dir = tempfile::tempdir().unwrap();
        let [seeder, downloader] = binary_addrs();
        let torrent = metafile::torrent(&SAMPLE, None);
        let file = dir.path().join("sample.torrent");
        fs::write(&file, &torrent).unwrap();
        let original = SAMPLE.write(dir.path()).unwrap();
        let info_hash = metafile::info_hash(&torrent).unwrap();
        let link = format!("magnet:?xt=urn:btih:{}", hex(&info_hash));
        let started = Instant::now();

        let (file, folder) = (file.to_str().unwrap(), dir.path().to_str().unwrap());
        let _seeder = start(dir.path(), "seeder", seeder, &["seed", file, "--data", folder]);
        let mut watch = Stores::default();
        let is_stored = block_in_place(|| {
            capture.wait_for(LIMIT, |new| {
                watch.look(new);
                watch.stored(&InfoHashV1(info_hash)) >= K
            })
        });
        assert!(is_stored, "the seeder is not listed");
        let listed = started.elapsed();

        let [ours, theirs] = ["ours", "theirs"].map(|name| dir.path().join(name));
        let name = |path: &Path| path.to_str().unwrap().to_owned();
        let args = ["download", &link, "-o", &name(&ours)];
        let mut downloads = start(dir.path(), "downloader", downloader, &args);
        block_in_place(|| downloads.wait_event(LIMIT, |event| event["event"] == "finished")).unwrap();
        let by_ours = started.elapsed();
        let command = json!({"do": "download", "node": 5, "source": link, "folder": name(&theirs)});
        self.theirs.tell(&command);
        assert!(
            self.theirs.hear(LIMIT, |event| event["event"] == "finished").await,
            "libtorrent has not all"
        );
        println!(
            "a torrent of the binary was listed after {:.1} s, downloaded by a link in {:.1} s, by libtorrent in {:.1} s",
            listed.as_secs_f64(),
            (by_ours - listed).as_secs_f64(),
            (started.elapsed() - by_ours).as_secs_f64()
        );
        for copy in [ours, theirs] {
            assert_eq!(digest(&copy.join(SAMPLE.name)).unwrap(), digest(&original).unwrap());
        }
    }
}

/// The binary, which has the DHT and nothing else to find peers by.
fn start(dir: &Path, home: &str, addr: SocketAddr, args: &[&str]) -> Session {
    let home = dir.join(format!("home of {home}"));
    fs::create_dir(&home).unwrap();
    let mut command = binary::command(&home);
    command.env_remove("RAWTORRENT_NO_DHT").args(args).args(["--json", "--no-pex", "--no-lsd"]);
    command.args(["--listen", &addr.to_string(), "--dht-bootstrap", &router().to_string()]);
    Session::start(&mut command).unwrap()
}
