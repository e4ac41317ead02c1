//! Every route of the API against the document that tells of it, as schemathesis sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::Home;
use common::daemon::Daemon;
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::process;

/// What takes longer hangs.
const SCHEMATHESIS_LIMIT: Duration = Duration::from_secs(120);

#[test]
#[ignore = "needs schemathesis"]
fn every_route_keeps_to_its_document() {
    let home = Home::new(Sample::MULTI);
    let made = common::run(home.command().args(["token", "add", "tests", "--scope", "admin"]));
    let token = format!("Authorization: Bearer {}", made.stdout.trim());
    let daemon = Daemon::start(&home, &[]);
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", std::env::var_os("RAWTORRENT_PYTHONPATH").unwrap_or_default());
    command
        .args(["-m", "schemathesis.cli", "run"])
        .arg(format!("http://{}/api/v1/openapi.json", daemon.addr));
    command.args(["--max-examples", "10", "--seed", "1", "--request-timeout", "20", "--no-color"]);
    // Streams have no end, which is what they are for; and what is found in a cache must not decide a test.
    command.args(["--exclude-path", "/api/v1/events", "--exclude-path", "/api/v1/trace"]);
    command.args(["--generation-database", "none"]);
    // Who guesses tokens has to wait; and what the document allows may still name no torrent that can be used.
    command.args(["--header", &token, "--exclude-checks", "ignored_auth,positive_data_acceptance"]);
    let done = process::run(command.current_dir(home.path()), SCHEMATHESIS_LIMIT).unwrap();
    let summary: Vec<_> = done.stdout.lines().rev().take(25).collect();
    println!("{}", summary.into_iter().rev().collect::<Vec<_>>().join("\n"));
    assert_eq!(done.code(), Some(0), "{}\n{}", done.stdout, done.stderr);
    assert_eq!(daemon.get("/healthz").status, 200);
    daemon.end();
}
