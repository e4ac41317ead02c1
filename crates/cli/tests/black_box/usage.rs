//! Exit code 2, help, and the environment.

use crate::support::{Place, Ran};

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    let place = Place::new();
    for (args, part) in [
        (&[][..], "requires a subcommand"),
        (&["fetch"], "unrecognized subcommand 'fetch'"),
        (&["download"], "<SOURCE>..."),
        (&["download", "x", "--peer", "nowhere"], "IP:PORT"),
        (&["download", "x", "--select", "3-1"], "'3-1'"),
        (&["download", "x", "-v", "-q"], "cannot be used with"),
        (&["seed", "x"], "--data <DIR>"),
        (&["verify", "x"], "--data <DIR>"),
        (&["create", "x", "-a", "nowhere"], "http://"),
        (&["demo", "now"], "unexpected argument 'now'"),
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("rawtorrent: ") && ran.stderr.contains(part), "{}", ran.stderr);
        assert!(ran.stderr.ends_with("--help'\n") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
}

#[test]
fn help_and_version_are_data() {
    let place = Place::new();
    let help = place.run(&["--help"]).done();
    for part in ["download", "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted", "RAWTORRENT_"] {
        assert!(help.text().contains(part), "{}", help.text());
    }
    for command in ["download", "seed", "create", "show", "verify", "demo"] {
        place.run(&[command, "--help"]).done();
    }
    assert_eq!(
        place.run(&["--version"]).done().text(),
        concat!("rawtorrent ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn options_come_from_the_environment_too() {
    let place = Place::new();
    place.write("x", "x");
    let run = |args: &[&str], vars: &[(&str, &str)]| {
        Ran::from(place.command(args).envs(vars.iter().copied()).output().unwrap())
    };
    let announce = ("RAWTORRENT_ANNOUNCE", "http://a.example/ http://b.example/");
    run(&["create", "x"], &[announce, ("RAWTORRENT_PRIVATE", "1"), ("RAWTORRENT_QUIET", "1")]).done();
    let shown = run(&["show", "x.torrent"], &[("RAWTORRENT_JSON", "true")]).done().json();
    assert_eq!(shown["trackers"], serde_json::json!([["http://a.example/"], ["http://b.example/"]]));
    assert_eq!(shown["private"], true);
    // Off is off, and what a command does not know does not disturb it.
    let text =
        run(&["show", "x.torrent"], &[("RAWTORRENT_JSON", "0"), ("RAWTORRENT_PEER", "1.2.3.4:5")]).done();
    assert!(text.text().starts_with("name "));
    assert_eq!(run(&["create", "x"], &[("RAWTORRENT_PIECE_LENGTH", "7")]).code, Some(2));
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new();
    place.write("x", "x");
    let ran = place.run(&["-q", "create", "x"]).done();
    assert_eq!((ran.stderr.as_str(), ran.text()), ("", ""));
    let ran = place.run(&["create", "missing", "--quiet"]).failed(&["missing"]);
    assert_eq!(ran.stderr.lines().count(), 1);
}
