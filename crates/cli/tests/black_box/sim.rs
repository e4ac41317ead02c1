//! `sim`: what it says of arguments that make no sense.

use crate::support::Place;

const SMALL: [&str; 7] = ["sim", "--peers", "2", "--size", "1M", "--rtt", "40ms"];

fn small(more: &[&str]) -> Vec<String> {
    SMALL.iter().chain(more).map(|&word| word.to_owned()).collect()
}

fn run(place: &Place, args: &[String]) -> crate::support::Ran {
    place.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn the_last_seeds_are_run_and_then_there_are_no_more() {
    let place = Place::new();
    let last = u64::MAX.to_string();
    let ran = run(&place, &small(&["--seed", &last, "--json"])).done();
    assert_eq!(ran.json()["runs"][0]["seed"].as_u64(), Some(u64::MAX));
    assert!(ran.json()["peak_memory"].as_u64().unwrap() > 1 << 20);
    run(&place, &small(&["--seed", &last, "--runs", "2"])).failed(&["--seed", "leaves no seeds for 2 runs"]);
}

#[test]
fn what_changes_nothing_is_refused() {
    let place = Place::new();
    run(&place, &small(&["--liars", "1"])).failed(&["--liars changes nothing in the scenario flash-crowd"]);
    place.run(&["sim", "chaos", "--peers", "4"]).failed(&["--peers changes nothing in the scenario chaos"]);
    place.run(&["sim", "dht", "--plot", "x.svg"]).failed(&["--plot changes nothing in the scenario dht"]);
    place.write("s.json", "{}");
    place
        .run(&["sim", "--file", "s.json", "--loss", "1"])
        .failed(&["--loss changes nothing in a swarm from a file"]);
}

#[test]
fn impossible_swarms_are_one_line() {
    let place = Place::new();
    run(&place, &small(&["--up", "10000T"])).failed(&["--up and --down are at most 1T"]);
    place.run(&["sim", "poisoned", "--peers", "4", "--liars", "4"]).failed(&["somebody has to be honest"]);
    place.run(&["sim", "free-riders", "--peers", "3"]).failed(&["--peers is at least 4"]);
    let plot = small(&["--plot", "nowhere/x.svg"]);
    run(&place, &plot).failed(&["cannot write nowhere/x.svg"]);
    let peer =
        |role: &str, up: u64| format!(r#"{{"role":"{role}","up":{up},"down":1000000,"latency_ms":10}}"#);
    for (up, right) in [(0, false), (u64::MAX, false), (1_000_000, true)] {
        let peers = format!("{},{}", peer("seed", up), peer("leecher", 1_000_000));
        place.write(
            "s.json",
            format!(r#"{{"name":"a\u001b[31mb","size":100000,"piece_length":16384,"peers":[{peers}]}}"#),
        );
        let ran = place.run(&["sim", "--file", "s.json"]);
        if right {
            assert!(ran.done().text().contains(r"a\u{1b}[31mb: 2 peers"));
        } else {
            ran.failed(&["up and down are from 1 to 1000000000000 bytes per second"]);
        }
    }
}
