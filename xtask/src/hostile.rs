//! The scoreboard of a hostile world: what was injected, how often, what happened, the bar, and for each test a sabotage
//! of the program that must turn it red.
//!
//! Tests tell it of themselves in lines of tab-separated fields (`SCORE`, the test's name, what was injected, how often,
//! what happened, the bar). A test that no control turns red says nothing, so one without is a failure.

mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::built::{self, Program};
use crate::run::{self, Tally};
use crate::suite::{TESTS, build_binary, must_build};
use report::{Rows, Stamp};

const LIMIT: Duration = Duration::from_secs(20 * 60);
/// The soak comes on top.
const FULL_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);
/// How long the soak lasts if nothing else is said.
const SOAK: Duration = Duration::from_secs(2 * 60 * 60);
/// A control that takes longer is red as well: the test waits for what does not come.
const CONTROL_LIMIT: Duration = Duration::from_secs(2 * 60);
/// The test that is a part of the longer run by itself.
const SOAK_TEST: &str = "a_soak";
/// Where the sabotaged binary is put.
const SABOTAGED: &str = "target/hostile/rawtorrent";

/// Where hostile tests are: those whose names begin with `hostile::`.
struct Suite {
    /// Of its package.
    folder: &'static str,
    /// Which of its test programs.
    targets: &'static [&'static str],
    /// How its sabotaged programs are built; none: it is the binary that is tested, and so is sabotaged.
    sabotaged: Option<&'static [&'static str]>,
}

const SUITES: &[Suite] = &[
    Suite {
        folder: TESTS,
        targets: &[
            "hostile_peers",
            "hostile_torrents",
            "hostile_daemons",
            "hostile_finders",
            "magnet",
            "discord",
        ],
        sabotaged: None,
    },
    Suite {
        folder: "crates/net",
        targets: &["net"],
        sabotaged: Some(&["--package", "rawtorrent-net", "--lib", "--features", "planted"]),
    },
];

/// The fault that must turn each test red; see `Planted` of the crate `swarm`, and `planted` of `net`.
const CONTROLS: &[(&str, &str)] = &[
    ("the_corpus_of_illegal_messages", "any-bitfield"),
    ("every_field_of_every_message_in_every_state", "any-length"),
    ("a_length_of_four_gigabytes", "any-length"),
    ("every_request_of_a_flood_is_answered", "silent-drop"),
    ("a_flood_that_nobody_can_be_told_is_too_much_waits", "never-held"),
    ("a_million_requests_of_peers_that_read_nothing", "endless-queue"),
    ("payload_that_nobody_asked_for", "uncounted-payload"),
    ("a_choke_storm", "ignored-choke"),
    ("a_have_storm_on_two_million_pieces", "slow-have"),
    ("a_storm_of_bit_fields_on_two_million_pieces", "endless-recount"),
    ("allowed_fast_and_suggest_floods", "long-memory"),
    ("poisoned_blocks", "spared-liar"),
    ("bit_fields_of_another_length", "any-bitfield"),
    ("pieces_that_there_are_not", "any-have"),
    ("promises_that_are_not_kept", "eager-again"),
    ("duplicate_and_overlapping_blocks", "any-block"),
    ("one_name_for_many", "twins"),
    ("ourselves", "own-friend"),
    ("slow_loris", "patient-handshake"),
    ("every_piece_stalled_at_99_percent", "endless-patience"),
    ("memory_with_two_hundred_of_them", "long-buffers"),
    ("two_hundred_that_have_parts_of_two_million_pieces", "hoarded-pieces"),
    ("others_keep_their_rate", "slow-have"),
    ("two_hundred_around_a_cage", "spared-liar"),
    ("tasks_stay_with_connections", "task-each"),
    ("torrents_that_are_removed_leave_nothing", "never-forgets"),
    ("a_soak", "never-forgets"),
    ("hostile_torrents_stay_below_their_folder", "stray-file"),
    ("a_folder_that_turns_into_a_link_leads_nowhere", "followed-links"),
    ("what_is_no_file_is_left_alone", "followed-links"),
    ("names_draw_nothing_on_a_terminal", "raw-words"),
    ("state_that_is_damaged_old_or_of_another_torrent", "any-record"),
    ("clocks_jump_and_machines_sleep", "wall-clock"),
    ("sixty_four_descriptors_are_enough", "no-shares"),
    ("half_open_callers_take_no_descriptors", "no-shares"),
    ("one_host_keeps_nobody_out", "crowds-stay"),
    ("without_threads_it_says_so_and_ends", "unasked-threads"),
    ("no_tracker_leads_inside", "no-zones"),
    ("no_web_seed_leads_inside", "no-zones"),
    ("a_web_seed_whose_name_changes_is_not_followed_inside", "no-zones"),
    ("a_torrent_file_is_not_fetched_from_inside_by_way_of_a_redirect", "no-zones"),
    ("bad_certificates_are_refused_everywhere", "any-certificate"),
    ("spoofed_answers_change_nothing", "any-answer"),
    ("slow_trackers_are_given_up_in_time", "patient-client"),
    ("a_byte_every_ten_seconds_is_as_good_as_silence", "patient-client"),
    ("floods_are_cut_off", "endless-body"),
    ("what_trackers_claim_is_kept_within_bounds", "any-peer"),
    ("every_route_refuses_pages_of_others", "any-page"),
    ("hostile_requests_are_refused_and_the_daemon_goes_on", "any-root"),
    ("names_are_inert_in_the_api", "raw-names"),
    ("recordings_that_are_damaged", "any-recording"),
    ("a_store_that_is_damaged_is_not_believed", "any-row"),
    ("sessions_of_other_clients_that_lie", "any-claim"),
    ("a_node_among_liars_finds_who_is_there", "any-response"),
    ("a_neighbour_that_floods_hides_nobody", "one-host-all"),
    ("liars_keep_metadata_from_nobody_and_cost_little_memory", "any-metadata"),
    ("hostile_words_are_inert_in_a_chat", "raw-words"),
    ("a_hostile_discord", "thin-skinned"),
];

/// What a test told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Score {
    name: String,
    injected: String,
    count: u64,
    happened: String,
    bar: String,
}

impl Score {
    /// Reads a line; the harness may have begun it.
    fn read(line: &str) -> Option<Score> {
        let at = line.find("SCORE\t")?;
        let fields: Vec<&str> = line[at..].split('\t').skip(1).collect();
        let &[name, injected, count, happened, bar] = &fields[..] else { return None };
        let own = str::to_owned;
        Some(Score {
            name: own(name),
            injected: own(injected),
            count: count.parse().ok()?,
            happened: own(happened),
            bar: own(bar),
        })
    }

    fn title(&self) -> String {
        title(&self.name)
    }

    /// Its row of the table.
    fn row(&self, is_red: bool, control: &Control) -> String {
        let Score { injected, count, happened, bar, .. } = self;
        let at_most = if is_red { "RED".to_owned() } else { self.at_most() };
        format!(
            "| {} | {injected} | {count} | {happened} | {at_most} | {bar} | {} |",
            self.title(),
            control.shown()
        )
    }

    /// What no failure in so many says of how often there is one (the rule of three).
    fn at_most(&self) -> String {
        #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
        let percent = 300.0 / self.count.max(1) as f64;
        let shown = if percent < 0.01 { format!("{percent:.0e}") } else { format!("{percent:.2}") };
        if percent >= 100.0 { "-".to_owned() } else { format!("at most {shown} % at 95 %") }
    }
}

/// How much of it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A sample, in minutes.
    Sample,
    /// All of these, with a soak of this length.
    Full(Duration, Which),
}

/// What the longer run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    Part(Part),
    /// These tests alone.
    Tests(Vec<String>),
}

impl Which {
    fn has_all_of(&self, part: Part) -> bool {
        *self == Which::All || *self == Which::Part(part)
    }

    /// The tests that are asked for by name.
    fn named(&self) -> &[String] {
        if let Which::Tests(named) = self { named } else { &[] }
    }
}

/// The parts of the longer run, which may be run on their own: together they take more than two hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the soak.
    Tests,
    Soak,
}

impl Part {
    const ALL: [Part; 2] = [Part::Tests, Part::Soak];

    fn named(name: &str) -> Result<Part> {
        match name {
            "tests" => Ok(Part::Tests),
            "soak" => Ok(Part::Soak),
            _ => bail!("--part is tests or soak, not {name}"),
        }
    }

    /// The part that a test belongs to, by the first cell of its row.
    fn of_title(row: &str) -> Part {
        if row == title(SOAK_TEST) { Part::Soak } else { Part::Tests }
    }

    fn heading(self) -> &'static str {
        match self {
            Part::Tests => "Tests",
            Part::Soak => "Soak",
        }
    }
}

impl Extent {
    pub(crate) fn of(full: bool) -> Extent {
        if full { Extent::Full(SOAK, Which::All) } else { Extent::Sample }
    }

    /// Reads `[--full [--soak SECONDS] [--part tests|soak | --only TEST[,TEST]]]`.
    pub(crate) fn parse(args: &[String]) -> Result<Extent> {
        let Some((first, mut rest)) = args.split_first() else { return Ok(Extent::Sample) };
        ensure!(
            first == "--full",
            "hostile takes --full, and with it --soak SECONDS, and --part tests|soak or --only TEST[,TEST]"
        );
        let (mut soak, mut which) = (SOAK, Which::All);
        while let [option, value, others @ ..] = rest {
            let before = which.clone();
            which = match (option.as_str(), before) {
                ("--soak", before) => {
                    soak = Duration::from_secs(value.parse().context("--soak: how many seconds?")?);
                    before
                }
                ("--part", Which::All) => Which::Part(Part::named(value)?),
                ("--only", Which::All) => Which::Tests(tests(value)?),
                ("--part" | "--only", _) => bail!("one of --part and --only, once"),
                _ => bail!("no such option: {option}"),
            };
            rest = others;
        }
        ensure!(rest.is_empty(), "{} needs a value", rest.concat());
        Ok(Extent::Full(soak, which))
    }

    fn limit(&self) -> Duration {
        match self {
            Extent::Sample => LIMIT,
            Extent::Full(soak, _) => FULL_LIMIT + *soak,
        }
    }

    /// What the harness is to run.
    fn filter(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match self {
            Extent::Full(_, Which::Part(Part::Soak)) => words(&[SOAK_TEST]),
            Extent::Full(_, Which::Part(Part::Tests)) => words(&["hostile::", "--skip", SOAK_TEST]),
            Extent::Full(_, Which::Tests(named)) => named.clone(),
            Extent::Sample | Extent::Full(_, Which::All) => words(&["hostile::"]),
        }
    }

    /// Whether a suite may have nothing to run.
    fn is_choosy(&self) -> bool {
        matches!(self, Extent::Full(_, Which::Part(Part::Soak) | Which::Tests(_)))
    }

    /// The tests that have to tell of themselves. In a sample some have nothing to say.
    fn due(&self) -> Vec<&str> {
        let Extent::Full(_, which) = self else { return Vec::new() };
        let controlled = CONTROLS.iter().map(|(test, _)| *test);
        let due = controlled.filter(|test| which.has_all_of(Part::of_title(&title(test))));
        due.chain(which.named().iter().map(String::as_str)).collect()
    }
}

/// Tests by name, separated by commas.
fn tests(list: &str) -> Result<Vec<String>> {
    let test = |name: &str| {
        ensure!(CONTROLS.iter().any(|(test, _)| *test == name), "no such test: {name}");
        Ok(name.to_owned())
    };
    list.split(',').map(test).collect()
}

/// Runs the hostile tests, then their controls; prints the table, and in the longer run keeps it.
pub(crate) fn run(root: &Path, extent: &Extent) -> Result<Tally> {
    let stamp = Stamp::now(root)?;
    let sabotaged = build_sabotaged(root)?;
    build_binary(root)?;
    let (mut tally, mut rows) = (Tally::default(), Rows::new());
    let programs = built::programs(root, built::ALL)?;
    for suite in SUITES {
        let mut scores = BTreeMap::new();
        for program in suite.of(&programs) {
            println!("\n     Running {program}");
            let ran = run::watched("hostile", command(root, program, extent), extent.limit(), |line| {
                println!("{line}");
                if let Some(score) = Score::read(line) {
                    scores.insert(score.name.clone(), (score, program.target()));
                }
            })?;
            tally.add(ran);
        }
        ensure!(!scores.is_empty() || extent.is_choosy(), "no test of {} told of itself", suite.folder);
        let faulty = match suite.sabotaged {
            Some(chosen) if !scores.is_empty() => Some(built::programs(root, chosen)?),
            _ => None,
        };
        let faulty = faulty.as_ref().unwrap_or(&programs);
        let scores: Vec<(Score, &str)> = scores.into_values().collect();
        let controls = run::side_by_side(&scores, run::cores(), |(score, target)| -> Result<Control> {
            let program = suite.of(faulty).find(|program| program.target() == *target);
            let program = program.with_context(|| format!("{target} is not built with faults"))?;
            let control = control(root, program, &sabotaged, &score.name)?;
            println!("control of {}: {}", score.name, control.shown());
            Ok(control)
        });
        for ((score, _), control) in scores.iter().zip(controls) {
            let control = control?;
            control.count(&score.name, &mut tally);
            let is_red = tally.failures.iter().any(|failure| failure.ends_with(&format!("::{}", score.name)));
            rows.insert(score.title(), score.row(is_red, &control));
        }
    }
    for name in extent.due() {
        rows.entry(title(name)).or_insert_with(|| {
            tally.failed += 1;
            tally.failures.push(format!("{name} told nothing of itself"));
            silent_row(name)
        });
    }
    println!("\n{}", report::table(&rows));
    if let Extent::Full(_, which) = extent {
        report::keep(root, &rows, which, &stamp)?;
    }
    Ok(tally)
}

/// The row of a test that came to no end, or is no more.
fn silent_row(name: &str) -> String {
    format!("| {} | - | - | it told nothing of itself | RED | - | - |", title(name))
}

impl Suite {
    fn of<'a>(&'a self, programs: &'a [Program]) -> impl Iterator<Item = &'a Program> {
        let is_one =
            |program: &&Program| program.is_of(self.folder) && self.targets.contains(&program.target());
        programs.iter().filter(is_one)
    }
}

/// What runs the hostile tests of a program.
fn command(root: &Path, program: &Program, extent: &Extent) -> Command {
    let mut command = program.command(root);
    command.env("RAWTORRENT_BIN", root.join("target/release/rawtorrent"));
    if let Extent::Full(soak, _) = extent {
        command.env("RAWTORRENT_HOSTILE", "full").env("RAWTORRENT_SOAK", soak.as_secs().to_string());
        // What is measured must not be disturbed.
        command.arg("--test-threads=1");
    }
    command.args(extent.filter());
    command
}

/// The same with one test and one fault: the programs without faults of their own test a binary that has them.
fn with_fault(root: &Path, program: &Program, binary: &Path, test: &str, fault: &str) -> Command {
    let mut command = program.command(root);
    command
        .env("RAWTORRENT_BIN", binary)
        .env("RAWTORRENT_PLANTED", fault)
        .env("RAWTORRENT_HOSTILE", "control");
    command.arg(test).stderr(Stdio::null());
    command
}

/// What became of a control.
#[derive(Debug)]
enum Control {
    /// There is none.
    None,
    /// The test was red, as it must.
    Found(&'static str),
    /// The test was green in spite of it, or did not run.
    Missed(&'static str),
}

impl Control {
    fn shown(&self) -> String {
        match self {
            Control::None => "NONE".to_owned(),
            Control::Found(fault) => format!("`{fault}`: red"),
            Control::Missed(fault) => format!("`{fault}`: NOT FOUND"),
        }
    }

    fn count(&self, test: &str, tally: &mut Tally) {
        match self {
            Control::Found(_) => tally.passed += 1,
            Control::None | Control::Missed(_) => {
                tally.failed += 1;
                tally.failures.push(format!("control of {test}: {}", self.shown()));
            }
        }
    }
}

fn control(root: &Path, program: &Program, binary: &Path, test: &str) -> Result<Control> {
    let Some(&(_, fault)) = CONTROLS.iter().find(|(name, _)| *name == test) else {
        return Ok(Control::None);
    };
    let command = with_fault(root, program, binary, test, fault);
    let mut failed = false;
    let red = format!("{test} ... FAILED");
    let tally = run::watched("control", command, CONTROL_LIMIT, |line| failed |= line.ends_with(&red))?;
    let hung = tally.failures.iter().any(|failure| failure.contains("killed after"));
    Ok(if failed || hung { Control::Found(fault) } else { Control::Missed(fault) })
}

/// Builds the binary with faults that a variable of the environment chooses, and puts it where no other build does.
pub(crate) fn build_sabotaged(root: &Path) -> Result<PathBuf> {
    // Beside a test, so that what all tests need is not built again with fewer features.
    let beside = ["--workspace", "--test", "hostile_peers"];
    let binary = ["build", "--locked", "--bin", "rawtorrent", "--features", "rawtorrent/planted"];
    must_build(root, &[&binary[..], &beside].concat())?;
    let kept = root.join(SABOTAGED);
    fs::create_dir_all(kept.parent().expect("it lies in a folder"))?;
    fs::copy(root.join("target/debug/rawtorrent"), &kept).context(SABOTAGED)?;
    Ok(kept)
}

/// The first cell of a test's row.
fn title(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_read_wherever_its_line_begins() {
        let line = "test hostile::floods::storm ... SCORE\tstorm\thave\t1000\tnone lost\tall served";
        let score = Score::read(line).unwrap();
        assert_eq!((score.name.as_str(), score.count), ("storm", 1000));
        assert_eq!(score.at_most(), "at most 0.30 % at 95 %");
        assert_eq!(Score::read("SCORE\tstorm\thave\tmany\tnone lost\tall served"), None);
        assert_eq!(Score::read("SCORE\tstorm\thave"), None);
    }

    fn parse(args: &[&str]) -> Result<Extent> {
        Extent::parse(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_extent_is_read() {
        let full = |soak, which| Extent::Full(Duration::from_secs(soak), which);
        let (all, tests) =
            (Which::All, Which::Tests(vec!["a_choke_storm".to_owned(), "ourselves".to_owned()]));
        assert_eq!(parse(&[]).unwrap(), Extent::Sample);
        assert_eq!(parse(&["--full"]).unwrap(), full(7200, all.clone()));
        assert_eq!(parse(&["--full", "--soak", "600"]).unwrap(), full(600, all));
        assert_eq!(
            parse(&["--full", "--soak", "600", "--only", "a_choke_storm,ourselves"]).unwrap(),
            full(600, tests)
        );
        let soak = parse(&["--full", "--part", "soak", "--soak", "60"]).unwrap();
        assert_eq!(soak, full(60, Which::Part(Part::Soak)));
        assert_eq!(parse(&["--full", "--part", "tests"]).unwrap(), full(7200, Which::Part(Part::Tests)));
        let bad: [&[&str]; 8] = [
            &["--full", "--only", "no_such_test"],
            &["--soak", "600"],
            &["--part", "soak"],
            &["--full", "--soak"],
            &["--full", "--soak", "long"],
            &["--full", "--part", "half"],
            &["--full", "--part", "soak", "--only", "ourselves"],
            &["--full", "--part", "soak", "--part", "tests"],
        ];
        for bad in bad {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn both_parts_are_all_of_it_and_what_is_due_has_to_tell() {
        let due = |args: &[&str]| -> Vec<String> {
            let extent = parse(args).unwrap();
            extent.due().into_iter().map(str::to_owned).collect()
        };
        let (tests, soak) = (due(&["--full", "--part", "tests"]), due(&["--full", "--part", "soak"]));
        assert_eq!(soak, [SOAK_TEST]);
        assert!(!tests.contains(&SOAK_TEST.to_owned()));
        assert_eq!(tests.len() + soak.len(), due(&["--full"]).len());
        assert_eq!(due(&["--full", "--only", "ourselves"]), ["ourselves"]);
        assert_eq!(due(&[]), [""; 0]);
        let filter = |args: &[&str]| parse(args).unwrap().filter();
        assert_eq!(filter(&["--full", "--part", "soak"]), [SOAK_TEST]);
        assert_eq!(filter(&["--full", "--part", "tests"]), ["hostile::", "--skip", SOAK_TEST]);
    }

    #[test]
    fn a_test_without_a_control_that_finds_it_is_red() {
        let mut tally = Tally::default();
        Control::Found("a").count("x", &mut tally);
        assert_eq!((tally.passed, tally.failed), (1, 0));
        Control::None.count("y", &mut tally);
        Control::Missed("b").count("z", &mut tally);
        assert_eq!(tally.failures, ["control of y: NONE", "control of z: `b`: NOT FOUND"]);
    }
}
