//! Somebody who stops reading, and a disk that is full.

use crate::support::{Place, Ran};
use std::fs::OpenOptions;
use std::process::Stdio;

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    place.write("x", "x");
    let torrent = place.torrent("x");
    for args in [
        &["show", &torrent][..],
        &["show", "--json", &torrent],
        &["download", "--list", &torrent],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::from(place.command(args).stdout(Stdio::from(writer)).output().unwrap()).done();
        assert_eq!(ran.stderr, "", "{args:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let place = Place::new();
    place.write("x", "x");
    let torrent = place.torrent("x");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = Ran::from(place.command(&["show", &torrent]).stdout(Stdio::from(full)).output().unwrap());
    ran.failed(&["standard output", "No space left on device"]);
}

#[test]
fn events_that_nobody_can_have_are_an_error() {
    let place = Place::new();
    place.write("x", "x");
    let torrent = place.torrent("x");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let args = ["download", &torrent, "--json", "--listen", "127.0.0.1:0", "--no-trackers"];
    let ran = Ran::from(place.command(&args).stdout(Stdio::from(full)).output().unwrap());
    ran.failed(&["standard output", "No space left on device"]);
}

#[test]
fn no_colour_where_there_is_no_terminal() {
    let place = Place::new();
    place.write("x", "x");
    let torrent = place.torrent("x");
    assert!(!place.run(&["show", &torrent]).done().text().contains('\x1b'));
}
