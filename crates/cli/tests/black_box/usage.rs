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
        (&["scrape", "x", "--tracker", "nowhere"], "this is no URL"),
        (&["dht"], "requires a subcommand"),
        (&["dht", "lookup"], "<HASH|MAGNET|TORRENT>"),
        (&["dht", "put", "x", "--file", "y"], "cannot be used with"),
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
    for command in ["download", "seed", "create", "show", "magnet", "verify", "scrape", "dht", "demo"] {
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
fn variables_are_read_as_people_write_them() {
    let place = Place::new();
    place.write("x", "x");
    let torrent = place.torrent("x");
    let run = |args: &[&str], vars: &[(&str, &str)]| {
        Ran::from(place.command(args).envs(vars.iter().copied()).output().unwrap())
    };
    let show = ["show", &torrent];
    for on in ["1", "true", "YES", "on"] {
        run(&show, &[("RAWTORRENT_JSON", on)]).done().json();
    }
    for off in ["0", "false", "No", "off", ""] {
        assert!(run(&show, &[("RAWTORRENT_JSON", off)]).done().text().starts_with("name "), "{off}");
        // What is off conflicts with nothing.
        run(&["show", &torrent, "-v"], &[("RAWTORRENT_QUIET", off)]).done();
    }
    let ran = run(&show, &[("RAWTORRENT_JSON", "maybe")]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("'maybe' for '--json'"), "{}", ran.stderr);
    run(&show, &[("RAWTORRENT_VERBOSE", "true")]).done();
    run(&show, &[("RAWTORRENT_VERBOSE", "3")]).done();
    assert_eq!(run(&show, &[("RAWTORRENT_VERBOSE", "much")]).code, Some(2));

    let empty =
        ["PEER", "LISTEN", "MAX_DOWN", "MAX_PEERS", "SELECT", "SEED_RATIO", "SEED_TIME", "ALLOCATE", "DIR"]
            .map(|name| format!("RAWTORRENT_{name}"));
    let empty: Vec<_> = empty.iter().map(|name| (name.as_str(), "")).collect();
    run(&["download", "--list", &torrent], &empty).done();
    let empty = ["ANNOUNCE", "WEB_SEED", "PIECE_LENGTH", "OUTPUT", "COMMENT"];
    let empty: Vec<_> = empty.map(|name| format!("RAWTORRENT_{name}")).into();
    let empty: Vec<_> = empty.iter().map(|name| (name.as_str(), "")).collect();
    run(&["create", "x"], &empty).done();
    assert_eq!(place.show("x.torrent")["comment"], serde_json::Value::Null);
    assert_eq!(run(&["verify", &torrent], &[("RAWTORRENT_DATA", "")]).code, Some(2));
}

#[test]
fn the_log_is_filtered_as_asked() {
    let place = Place::new();
    place.write("x", "x");
    let torrent = place.torrent("x");
    let args =
        ["seed", &torrent, "--data", ".", "--listen", "127.0.0.1:0", "--no-trackers", "--seed-time", "0s"];
    let run = |filter: &str| Ran::from(place.command(&args).env("RAWTORRENT_LOG", filter).output().unwrap());
    for (filter, told) in [("", false), ("error", false), ("debug", true), ("engine=info", true)] {
        let ran = run(filter).done();
        assert_eq!(ran.stderr.contains("checking 1 piece"), told, "{filter}: {}", ran.stderr);
    }
    for filter in ["loud", "engine=loud"] {
        let ran = run(filter);
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{}", ran.stderr);
        assert!(ran.stderr.contains("RAWTORRENT_LOG") && ran.stderr.contains(filter), "{}", ran.stderr);
    }
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new();
    place.write("x", "x");
    let ran = place.run(&["-q", "create", "x"]).done();
    assert_eq!((ran.stderr.as_str(), ran.text()), ("", ""));
    let ran = place.run(&["create", "missing", "--quiet"]).failed(&["cannot read missing: No such file"]);
    assert_eq!(ran.stderr.lines().count(), 1);
}
