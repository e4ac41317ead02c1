//! The binary beside other people's clients: builds all it takes, gets the clients, and runs `rawtorrent-bench`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::suite::{Step, build_binary, must_build};
use crate::{built, needs, run};

/// All rows with all clients, and time to spare.
const LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// To add the torrents, a minute of requests, and time to spare.
const DAEMON_LIMIT: Duration = Duration::from_secs(10 * 60);

/// What the command line asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    install: bool,
    rqbit: bool,
    /// For the bench itself, which knows its rows.
    passed_on: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options> {
        let mut options = Options { install: true, ..Options::default() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--no-install" => options.install = false,
                "--rqbit" => options.rqbit = true,
                "--full" => options.passed_on.push(arg.clone()),
                "--runs" | "--congestion" => {
                    let value = args.next().with_context(|| format!("{arg} needs a value"))?;
                    options.passed_on.extend([arg.clone(), value.clone()]);
                }
                row => {
                    ensure!(!row.starts_with('-'), "no such option: {row}");
                    options.passed_on.push(row.to_owned());
                }
            }
        }
        Ok(options)
    }
}

/// `true` when every run was a success; bars that are not met are results.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<bool> {
    if args == ["daemon"] {
        return daemon(root);
    }
    let options = Options::parse(args)?;
    needs::provide(root, &[Step::Bench], options.install)?;
    if options.rqbit {
        needs::RQBIT.provide(root, options.install)?;
    }
    build_binary(root)?;
    must_build(root, &["build", "--locked", "--release", "--package", "rawtorrent-bench"])?;

    let mut command = run::in_namespace(root, root.join("target/release/rawtorrent-bench"));
    command.args(options.passed_on);
    command.env("RAWTORRENT_BIN", root.join("target/release/rawtorrent"));
    command.env("RAWTORRENT_PYTHONPATH", needs::python_path(root));
    if let Some(rqbit) = needs::RQBIT.path(root) {
        command.arg("--rqbit").arg(rqbit);
    }
    Ok(run::passed("bench", command, LIMIT)?.failed == 0)
}

/// The daemon's API with 10,000 torrents, one of whose disks does not answer, by its bars.
fn daemon(root: &Path) -> Result<bool> {
    build_binary(root)?;
    let scale = built::black_box(root, "daemon_scale")?;
    let tally = scale.run(root, &["--nocapture"], DAEMON_LIMIT, |command| {
        command
            .env("RAWTORRENT_BIN", root.join("target/release/rawtorrent"))
            .env("RAWTORRENT_TEST_SCALE", "full");
    })?;
    Ok(tally.failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_ours_or_passed_on() {
        let options = parse(&["leech", "--rqbit", "--runs", "7", "seed", "--full"]).unwrap();
        assert!(options.install && options.rqbit);
        assert_eq!(options.passed_on, ["leech", "--runs", "7", "seed", "--full"]);
        assert!(!parse(&["--no-install"]).unwrap().install);
        assert!(parse(&["--quick"]).is_err());
        assert!(parse(&["--runs"]).is_err());
    }
}
