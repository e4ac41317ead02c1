//! Downloads without trackers, by the DHT alone, in a network of nodes on loopback.

use crate::network::Network;
use crate::seeder::{LOOPBACK, Seeder};
use crate::support::{Place, Ran, noise, same};
use std::process::Command;

/// What others are told of us once we are listed.
const LISTED: &str = "will tell others of us";

/// A folder `t` with its torrent, and a network.
struct Lab {
    place: Place,
    network: Network,
}

impl Lab {
    fn new(create: &[&str]) -> Lab {
        let place = Place::new();
        place.write("t/a", noise(300_000));
        place.write("t/b", noise(20_000));
        place.run(&[&["create", "t", "-o", "t.torrent"][..], create].concat()).done();
        Lab { place, network: Network::new(12) }
    }

    /// A command that takes part in the network, of a user of its own.
    fn command(&self, home: &str, args: &[&str]) -> Command {
        let mut command = self.place.command(&[args, &LOOPBACK, &["-v"]].concat());
        command.env_remove("RAWTORRENT_NO_DHT").env("RAWTORRENT_STATE_DIR", self.place.path(home));
        command.env("RAWTORRENT_DHT_BOOTSTRAP", self.network.bootstrap());
        command
    }

    fn seeder(&self) -> Seeder {
        Seeder::spawn(self.command("seeder", &["seed", "t.torrent", "--data", "."]))
    }

    fn magnet(&self) -> String {
        self.place.run(&["magnet", "t.torrent"]).done().text().trim().to_owned()
    }

    fn download(&self, args: &[&str]) -> Ran {
        let ran: Ran =
            self.command("leecher", &[&["download", "-o", "got"], args].concat()).output().unwrap().into();
        ran.done()
    }
}

#[test]
fn a_magnet_link_is_enough() {
    let lab = Lab::new(&[]);
    let seeder = lab.seeder();
    assert!(seeder.wait_for(LISTED).contains("8 nodes"));
    let ran = lab.download(&[&lab.magnet()]);
    assert!(same(&lab.place.path("t"), &lab.place.path("got/t")));
    assert!(ran.stderr.contains("DHT: 1 peer"), "{}", ran.stderr);
}

#[test]
fn whom_a_run_knew_the_next_one_knows() {
    let lab = Lab::new(&[]);
    let seeder = lab.seeder();
    seeder.wait_for(LISTED);
    lab.download(&["t.torrent"]);
    std::fs::remove_dir_all(lab.place.path("got")).unwrap();
    // Nobody answers there.
    lab.download(&[&lab.magnet(), "--dht-bootstrap", "127.0.0.1:9"]);
    assert!(same(&lab.place.path("t"), &lab.place.path("got/t")));
}

#[test]
fn a_link_may_name_a_node() {
    let lab = Lab::new(&[]);
    let seeder = lab.seeder();
    seeder.wait_for(LISTED);
    let link = format!("{}&dht={}", lab.magnet(), lab.network.bootstrap());
    // Nobody answers there.
    lab.download(&[&link, "--dht-bootstrap", "127.0.0.1:9"]);
    assert!(same(&lab.place.path("t"), &lab.place.path("got/t")));
}

#[test]
fn peers_tell_each_other_of_their_nodes() {
    let lab = Lab::new(&[]);
    let seeder = lab.seeder();
    seeder.wait_for(LISTED);
    // It knows no node, and asks no tracker: only the seeder can have told it of one.
    let alone = ["download", "-o", "got", "t.torrent", "--seed-time", "1h", "--dht-bootstrap", "127.0.0.1:9"];
    let peer = Seeder::spawn(lab.command("leecher", &[&alone[..], &["--peer", &seeder.addr]].concat()));
    peer.wait_for(LISTED);
}

#[test]
fn a_private_torrent_is_not_told_of() {
    let lab = Lab::new(&["--private"]);
    let info_hash = lab.place.show("t.torrent")["info_hash_v1"].as_str().unwrap().to_owned();
    let seeder = lab.seeder();
    let ran = lab.download(&["t.torrent", "--peer", &seeder.addr]);
    assert!(same(&lab.place.path("t"), &lab.place.path("got/t")));
    assert!(!ran.stderr.contains("DHT: "), "{}", ran.stderr);
    let mut lookup = lab.place.command(&["dht", "lookup", &info_hash, "--listen", "127.0.0.1:0"]);
    let ran: Ran = lookup.env("RAWTORRENT_DHT_BOOTSTRAP", lab.network.bootstrap()).output().unwrap().into();
    assert!(ran.text().contains("0 peers") || ran.stderr.contains("0 peers"), "{ran:?}");
}
