//! `completions` and `man`.

use crate::support::Place;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn shells_get_scripts_that_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let script = String::from_utf8(ran.stdout).unwrap();
        for word in ["download", "reannounce", "completions", "player"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(bash.wait().unwrap().success(), "bash does not take it");
        }
    }
    let wrong = place.run(&["completions", "tcsh"]);
    assert_eq!((wrong.code, wrong.stderr.lines().count()), (Some(2), 1), "{}", wrong.stderr);
}

#[test]
fn there_is_a_page_for_every_command() {
    let place = Place::new();
    let whole = place.run(&["man"]);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert!(String::from_utf8(whole.stdout).unwrap().contains(".TH rawtorrent 1"));
    assert_eq!(place.run(&["man", "-o", "pages"]).code, Some(0));
    for page in ["rawtorrent.1", "rawtorrent-stream.1", "rawtorrent-dht-get.1", "rawtorrent-token-add.1"] {
        assert!(place.path("pages").join(page).is_file(), "{page}");
    }
    let stream = String::from_utf8(place.read("pages/rawtorrent-stream.1")).unwrap();
    assert!(stream.contains("player") && stream.contains("RAWTORRENT_PLAYER"), "{stream}");
    place.write("file", "");
    let ran = place.run(&["man", "-o", "file/pages"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
    // Pages are for everybody: what is set here is nobody else's.
    let mut command = place.command(&["man", "-o", "others"]);
    assert!(command.env("RAWTORRENT_PLAYER", "hunter2").output().unwrap().status.success());
    assert_eq!(place.read("others/rawtorrent-stream.1"), place.read("pages/rawtorrent-stream.1"));
}
