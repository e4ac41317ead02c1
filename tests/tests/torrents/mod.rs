//! Torrents that are out for the rest of the disk, for the terminal, or for whoever opens what they bring. Each is served
//! to the binary, which runs under `strace`: what it makes or changes lies where downloads go or where it keeps its state.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{LIMIT, assert_is_for_people, run};
use rawtorrent_tests::content;
use rawtorrent_tests::metafile::{self, PIECE_LEN, Value};
use rawtorrent_tests::peer::{FakeSeed, Serving};
use rawtorrent_tests::score::score;
use rawtorrent_tests::{binary, process};
use rustix::fs::{CWD, FileType, RenameFlags, mknodat, renameat_with};
use sha1::{Digest, Sha1};
use tempfile::TempDir;

/// A torrent whose bytes are its own, so that it can be served whole.
struct Hostile {
    what: String,
    torrent: Vec<u8>,
    content: Vec<u8>,
}

/// A file as a torrent has it.
struct Entry {
    path: Vec<Vec<u8>>,
    len: usize,
    /// Keys beside `length` and `path`: before the one, after the other.
    before: Vec<(&'static str, Value)>,
    after: Vec<(&'static str, Value)>,
}

impl Entry {
    fn new(path: &[&[u8]], len: usize) -> Entry {
        let path = path.iter().map(|element| element.to_vec()).collect();
        Entry { path, len, before: Vec::new(), after: Vec::new() }
    }

    fn with_attr(mut self, attr: &str) -> Entry {
        self.before.push(("attr", attr.into()));
        self
    }

    fn value(&self) -> Value {
        let list = |path: &[Vec<u8>]| Value::List(path.iter().cloned().map(Value::Bytes).collect());
        let mut entries = self.before.clone();
        entries.push(("length", Value::count(self.len)));
        entries.push(("path", list(&self.path)));
        entries.extend(self.after.iter().cloned());
        Value::Dict(entries)
    }
}

/// A torrent of these files; none: of one file that bears the name itself.
fn hostile(what: &str, name: &[u8], utf8_name: Option<&[u8]>, files: &[Entry]) -> Hostile {
    let len = if files.is_empty() { 300 } else { files.iter().map(|file| file.len).sum() };
    // What its bytes are depends on what it is, so that no two have one info-hash.
    let seed = what.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let content = content::bytes(seed, len);
    let pieces = content.chunks(PIECE_LEN).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
    let mut info = match files {
        [] => vec![("length", Value::count(len))],
        _ => vec![("files", Value::List(files.iter().map(Entry::value).collect()))],
    };
    info.push(("name", Value::Bytes(name.to_vec())));
    info.extend(utf8_name.map(|name| ("name.utf-8", Value::Bytes(name.to_vec()))));
    info.push(("piece length", Value::count(PIECE_LEN)));
    info.push(("pieces", Value::Bytes(pieces)));
    let torrent =
        Value::Dict(vec![("comment", Value::Bytes(name.to_vec())), ("info", Value::Dict(info))]).encode();
    Hostile { what: what.to_owned(), torrent, content }
}

/// Names that climb out, are taken for something else, or are not what they look like.
fn hostile_names() -> Vec<Vec<u8>> {
    let texts = [
        "..",
        ".",
        "",
        "/",
        "/etc/passwd",
        "../../evil",
        "..\\..\\evil",
        "a/../../evil",
        "~",
        "~root/.ssh/authorized_keys",
        "$HOME/evil",
        "`touch evil`",
        "-rf",
        "%2e%2e%2fevil",
        "a\0/../../evil",
        "\u{ff0e}\u{ff0e}\u{ff0f}evil",
        ".\u{200b}.",
        ".\u{202e}.",
        "photo\u{202e}gpj.exe",
        "\u{2066}x\u{2069}",
        "\x1b[2J\x1b]0;owned\x07",
        "\u{9b}31m",
        "a\r\nerror: forged",
        "a\nb\tc\x08\x7f",
        "\u{2028}x\u{2029}",
        "CON",
        "aux.txt",
        "COM1",
        "...",
        "evil ",
        "evil.",
        " ",
        "/dev/sda",
        "\\\\server\\share",
        "C:\\evil",
        "//evil",
        "\u{feff}",
        "\u{e0001}tag",
        "desktop.ini",
        ".bashrc",
        "a:b*c?\"<>|",
        "e\u{301}\u{301}\u{301}",
    ];
    let mut names: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    names.extend([
        b"\xc0\xae\xc0\xae\xc0\xafevil".to_vec(),
        b"\xff\xfe\x80".to_vec(),
        vec![b'x'; 300],
        [vec![b'x'; 5000], b".exe".to_vec()].concat(),
        "\u{e9}".repeat(200).into_bytes(),
    ]);
    names
}

/// Every such name at every place that a torrent has for names.
fn hostile_torrents() -> Vec<Hostile> {
    let mut all = Vec::new();
    for (number, name) in hostile_names().iter().enumerate() {
        let name = name.as_slice();
        let what = |place: &str| format!("{number} {place}: {}", name.escape_ascii());
        let beside = || Entry::new(&[b"beside"], 50);
        all.push(hostile(&what("one file"), name, None, &[]));
        all.push(hostile(&what("folder"), name, None, &[Entry::new(&[b"a"], 100), beside()]));
        all.push(hostile(&what("first"), b"t", None, &[Entry::new(&[name, b"b", b"c"], 100), beside()]));
        all.push(hostile(
            &what("middle"),
            b"t",
            None,
            &[Entry::new(&[b"a", name, name, b"c"], 100), beside()],
        ));
        all.push(hostile(&what("last"), b"t", None, &[Entry::new(&[b"a", name], 100), beside()]));
        all.push(hostile(&what("name.utf-8"), b"t", Some(name), &[]));
        let mut utf8 = Entry::new(&[b"a"], 100);
        utf8.after.push(("path.utf-8", Value::List(vec![Value::Bytes(name.to_vec())])));
        all.push(hostile(&what("path.utf-8"), b"t", None, &[utf8, beside()]));
    }
    all.extend(other_torrents());
    all
}

fn other_torrents() -> Vec<Hostile> {
    let of = |what: &str, files: &[Entry]| hostile(what, b"t", None, files);
    let pair = |what: &str, one: &[&[u8]], other: &[&[u8]]| {
        of(what, &[Entry::new(one, 100), Entry::new(other, 70), Entry::new(&[b"beside"], 9)])
    };
    let link = |target: &[&str]| {
        let mut link = Entry::new(&[b"link"], 0).with_attr("l");
        let target = target.iter().map(|element| Value::from(*element)).collect();
        link.after.push(("symlink path", Value::List(target)));
        [link, Entry::new(&[b"link", b"through"], 60), Entry::new(&[b"beside"], 9)]
    };
    let deep: Vec<&[u8]> = (0..100).map(|_| &b"d"[..]).collect();
    vec![
        pair("the same name twice", &[b"a"], &[b"a"]),
        pair("names that differ in case", &[b"Read.me"], &[b"README".as_slice(), b"x"]),
        pair("folders that differ in case", &[b"Dir", b"x"], &[b"dir", b"x"]),
        pair(
            "composed and decomposed",
            "\u{e9}".as_bytes().chunks(2).collect::<Vec<_>>().as_slice(),
            &["e\u{301}".as_bytes()],
        ),
        pair("sharp s", "stra\u{df}e".as_bytes().chunks(99).collect::<Vec<_>>().as_slice(), &[b"STRASSE"]),
        pair("a file and a folder", &[b"a"], &[b"a", b"b"]),
        pair("a folder by climbing", &[b"a", b"b"], &[b"a", b"..", b"a", b"b"]),
        of("a link to the root", &link(&["..", "..", "..", ".."])),
        of("a link to an absolute path", &link(&["/etc"])),
        of(
            "a program",
            &[Entry::new(&[b"run.sh"], 90).with_attr("x"), Entry::new(&[b"a.exe"], 9).with_attr("xh")],
        ),
        of(
            "padding that climbs",
            &[Entry::new(&[b"a"], 90), Entry::new(&[b"..", b"..", b"pad"], 10).with_attr("p")],
        ),
        of("a hundred folders deep", &[Entry::new(&deep, 90)]),
    ]
}

/// A home of its own: `home/up/out` is where downloads go, and everything else must stay as it is.
struct Victim {
    dir: TempDir,
}

impl Victim {
    fn new() -> Victim {
        let dir = tempfile::tempdir().unwrap();
        let victim = Victim { dir };
        fs::create_dir_all(victim.out()).unwrap();
        for precious in ["evil", "up/evil", "up/pad", "a", "up/a"] {
            fs::write(victim.home().join(precious), "precious").unwrap();
        }
        victim
    }

    fn home(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn out(&self) -> PathBuf {
        self.home().join("up/out")
    }

    fn state(&self) -> PathBuf {
        self.home().join("state")
    }

    fn download(&self, hostile: &Hostile) -> Command {
        let info_hash = metafile::info_hash(&hostile.torrent).unwrap();
        let seed = FakeSeed::start(Serving::all(info_hash, Arc::new(hostile.content.clone()))).unwrap();
        let torrent = self.home().join("the.torrent");
        fs::write(&torrent, &hostile.torrent).unwrap();
        let mut command = binary::command(&self.home());
        command.arg("download").arg(&torrent).arg("-o").arg(self.out());
        command.args(["--no-trackers", "--listen", "127.0.0.1:0", "--peer", &seed.addr.to_string()]);
        command.env("RAWTORRENT_LOG", "debug");
        command
    }

    /// What lies outside the places that the program may write to.
    fn elsewhere(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut pending = vec![self.home()];
        while let Some(dir) = pending.pop() {
            for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                let ours = path == self.out() || path == self.state() || path.ends_with("trace");
                match path.symlink_metadata().unwrap().is_dir() {
                    _ if ours => {}
                    true => pending.push(path),
                    false => found.push((path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        found.sort();
        found
    }

    /// The regular files that were downloaded; panics if anything else is there, or one of them may be executed.
    fn downloaded(&self, what: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut pending = vec![self.out()];
        while let Some(dir) = pending.pop() {
            for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                let metadata = path.symlink_metadata().unwrap();
                assert!(metadata.is_dir() || metadata.is_file(), "{what}: {} is neither", path.display());
                if metadata.is_dir() {
                    pending.push(path);
                } else {
                    assert_eq!(metadata.permissions().mode() & 0o111, 0, "{what}: {}", path.display());
                    found.push(path);
                }
            }
        }
        found
    }
}

/// The same command under `strace`, whose logs go to files in `logs`, one a thread.
fn traced(command: &Command, logs: &Path) -> Command {
    fs::create_dir_all(logs).unwrap();
    let mut traced = Command::new("strace");
    traced.args(["-ff", "--seccomp-bpf", "-y", "-s", "8192", "-e", "signal=none", "-e"]);
    traced.arg("trace=%file,openat2,fchmod,fchown,ftruncate").arg("-o").arg(logs.join("t"));
    traced.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    traced
}

/// What a traced program made, changed or executed outside `allowed`, and how many calls of that kind it made at all.
fn trespasses(logs: &Path, allowed: &[PathBuf]) -> (Vec<String>, u64) {
    let (mut found, mut calls) = (Vec::new(), 0);
    for log in fs::read_dir(logs).unwrap() {
        let log = fs::read(log.unwrap().path()).unwrap();
        for line in String::from_utf8_lossy(&log).lines() {
            if let Some(fine) = changes(line, allowed) {
                calls += 1;
                if !fine {
                    found.push(line.to_owned());
                }
            }
        }
    }
    (found, calls)
}

/// Whether a call that changes something does so where it may; `None` if it changes nothing.
fn changes(line: &str, allowed: &[PathBuf]) -> Option<bool> {
    const READERS: [&str; 14] = [
        "access",
        "faccessat",
        "faccessat2",
        "stat",
        "lstat",
        "newfstatat",
        "statx",
        "statfs",
        "readlink",
        "readlinkat",
        "getcwd",
        "chdir",
        "inotify_add_watch",
        "execve",
    ];
    let (call, arguments) = line.split_once('(')?;
    // Calls fail, or are not known yet when the program ends.
    let failed = line.contains(") = -1 E") || call == "???";
    if READERS.contains(&call) || failed {
        return None;
    }
    let is_allowed = |path: &str| {
        let plain = !path.split('/').any(|element| element == "..");
        plain && allowed.iter().any(|dir| Path::new(path).starts_with(dir))
    };
    if call.starts_with("open") || call == "creat" {
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| arguments.contains(flag));
        // `-y` shows what was really opened.
        let opened = arguments.split_once(") = ")?.1.split_once('<')?.1;
        let device = ["/dev/null>", "/dev/tty>"].iter().any(|device| opened.starts_with(device));
        return writes.then(|| device || is_allowed(opened.trim_end_matches('>')));
    }
    // Of what is named by a descriptor, too, `-y` shows where it is.
    let (bare, names) = unquoted(arguments);
    let dirs = bare.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(path, _)| path);
    let mut dirs = dirs.peekable();
    let below = dirs.peek().is_some() && dirs.all(is_allowed);
    let names_fit = names.iter().all(|name| {
        let climbs = name.split('/').any(|element| element == "..");
        if name.starts_with('/') { is_allowed(name) } else { below && !climbs }
    });
    Some(names_fit && (below || !names.is_empty()))
}

/// What stands outside quotation marks, and what within; what is escaped there stays so.
fn unquoted(arguments: &str) -> (String, Vec<String>) {
    let (mut bare, mut names) = (String::new(), Vec::new());
    let mut inside: Option<String> = None;
    let mut chars = arguments.chars();
    while let Some(c) = chars.next() {
        match (&mut inside, c) {
            (None, '\\') => bare.extend([c].into_iter().chain(chars.next())),
            (None, '"') => inside = Some(String::new()),
            (None, _) => bare.push(c),
            (Some(_), '"') => names.extend(inside.take()),
            (Some(name), '\\') => name.extend([c].into_iter().chain(chars.next())),
            (Some(name), _) => name.push(c),
        }
    }
    (bare, names)
}

/// That what a program says moves no cursor, forges no line of a terminal and turns no text around.
fn assert_inert(what: &str, said: &str) {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!said.contains(harmful), "{what}: {said:?}");
    assert!(!said.lines().any(|line| line.starts_with("error: forged")), "{what}: {said}");
}

#[test]
fn hostile_torrents_stay_below_their_folder() {
    let cases = hostile_torrents();
    let (next, downloaded, calls) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (taken, made) = suffer(case);
            downloaded.fetch_add(u64::from(taken), Ordering::Relaxed);
            calls.fetch_add(made, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    let (count, taken) = (cases.len() as u64, downloaded.into_inner());
    assert!(count >= 200 && taken >= count * 9 / 10, "{taken} of {count} were downloaded");
    let happened = format!(
        "{taken} downloaded, {} refused in a line; of {} calls that make or change something none outside",
        count - taken,
        calls.into_inner()
    );
    let injected =
        "torrents with names that climb, collide, or are links, devices, programs or control characters";
    score(
        "hostile_torrents_stay_below_their_folder",
        injected,
        count,
        &happened,
        "0 writes outside, nothing executable",
    );
}

/// Downloads one; says whether it was, and how many calls were looked at.
fn suffer(case: &Hostile) -> (bool, u64) {
    let victim = Victim::new();
    let command = victim.download(case);
    let before = victim.elsewhere();
    let logs = victim.home().join("trace");
    let done = process::run(&mut traced(&command, &logs), LIMIT).unwrap();
    let what = &case.what;
    assert_inert(what, &done.stdout);
    assert_inert(what, &done.stderr);
    let (found, calls) = trespasses(&logs, &[victim.out(), victim.state()]);
    assert!(found.is_empty(), "{what}: {found:#?}");
    assert!(calls > 0, "{what}: nothing was traced\n{}", done.stderr);
    assert!(victim.elsewhere() == before, "{what}: something outside has changed");
    let files = victim.downloaded(what);
    let taken = done.code() == Some(0);
    assert_eq!(!files.is_empty(), taken, "{what}: {}\n{}", done.stdout, done.stderr);
    assert!(taken || done.code() == Some(1), "{what}: {:?}\n{}", done.status, done.stderr);
    (taken, calls)
}

/// The control: what is done outside is found.
#[test]
fn a_trespasser_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    let out = home.join("out");
    fs::create_dir(&out).unwrap();
    let caught = |number: usize, line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("cd '{}' && {line}", out.display())]);
        let logs = home.join(number.to_string());
        assert_eq!(run(&mut traced(&command, &logs)).code(), Some(0), "{line}");
        trespasses(&logs, std::slice::from_ref(&out)).0
    };
    assert_eq!(caught(0, "echo > in; rm in; echo > /dev/null"), [""; 0], "inside");
    for (number, line) in
        ["echo > ../evil", "mkdir ../dir", "mv ../evil ../worse", "rm ../worse", "ln -s / ../link"]
            .into_iter()
            .enumerate()
    {
        assert!(!caught(1 + number, line).is_empty(), "{line}");
    }
    symlink(&home, out.join("way")).unwrap();
    assert!(!caught(9, "echo > way/evil").is_empty(), "through a link");
    let inside = format!(
        "openat2(5<{0}>, \"t/f\", {{flags=O_RDWR|O_CREAT, mode=0666}}, 24) = 6<{0}/t/f>",
        out.display()
    );
    assert_eq!(changes(&inside, std::slice::from_ref(&out)), Some(true));
}

/// A folder of a download becomes a link to somewhere else, and a folder again, all the time.
#[test]
fn a_folder_that_turns_into_a_link_leads_nowhere() {
    const ROUNDS: u64 = 12;
    const FILES: usize = 150;
    let swaps = AtomicU64::new(0);
    let mut stopped = 0;
    for round in 0..ROUNDS {
        let victim = Victim::new();
        let names: Vec<String> = (0..FILES).map(|number| format!("f{number}")).collect();
        let files: Vec<Entry> =
            names.iter().map(|name| Entry::new(&[b"d", name.as_bytes()], PIECE_LEN / 2 + 1)).collect();
        let case = hostile(&format!("swap {round}"), b"t", None, &files);
        let (folder, link) = (victim.out().join("t/d"), victim.out().join("t/link"));
        let outside = victim.home().join("outside");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, &link).unwrap();
        let over = AtomicBool::new(false);
        let done = thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let exchange = || renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                // Not before it has found a folder there and begun to fill it; then a link most of the time, or seldom.
                let rests = if round % 2 == 0 { 0 } else { 500 };
                while !over.load(Ordering::Relaxed) {
                    if folder.join("f0").symlink_metadata().is_err() {
                        continue;
                    }
                    exchange();
                    exchange();
                    (0..rests).for_each(|_| drop(folder.symlink_metadata()));
                    swaps.fetch_add(2, Ordering::Relaxed);
                }
            });
            let done = process::run(&mut victim.download(&case), LIMIT);
            over.store(true, Ordering::Relaxed);
            swapper.join().unwrap();
            done.unwrap()
        });
        assert!(matches!(done.code(), Some(0 | 1)), "{:?}\n{}", done.status, done.stderr);
        stopped += u64::from(done.code() == Some(1));
        let strayed: Vec<_> =
            fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(strayed.is_empty(), "outside: {strayed:?}");
    }
    let happened = format!(
        "{stopped} of {ROUNDS} downloads stopped and said so, {} went through; 0 files outside",
        ROUNDS - stopped
    );
    let injected = "swaps of a folder for a link while its files are made";
    score(
        "a_folder_that_turns_into_a_link_leads_nowhere",
        injected,
        swaps.into_inner(),
        &happened,
        "0 files outside",
    );
}

/// What is no file stands where one is to be made. It is left alone and named, with and without `--overwrite`.
#[test]
fn what_is_no_file_is_left_alone() {
    let case = hostile("in the way", b"t", None, &[Entry::new(&[b"a"], 100), Entry::new(&[b"b"], 50)]);
    let mut count = 0;
    for overwrite in [false, true] {
        for kind in
            ["pipe", "device", "socket", "folder", "link to a file", "link to nothing", "link to a device"]
        {
            let victim = Victim::new();
            let place = victim.out().join("t/a");
            fs::create_dir(victim.out().join("t")).unwrap();
            match kind {
                "pipe" => mknodat(CWD, &place, FileType::Fifo, 0o666.into(), 0).unwrap(),
                // The system may not let us make one.
                "device" => match mknodat(
                    CWD,
                    &place,
                    FileType::CharacterDevice,
                    0o666.into(),
                    rustix::fs::makedev(1, 3),
                ) {
                    Ok(()) => {}
                    Err(_) => continue,
                },
                "socket" => drop(std::os::unix::net::UnixListener::bind(&place).unwrap()),
                "folder" => fs::create_dir(&place).unwrap(),
                "link to a file" => symlink(victim.home().join("evil"), &place).unwrap(),
                "link to nothing" => symlink(victim.home().join("new"), &place).unwrap(),
                _ => symlink("/dev/null", &place).unwrap(),
            }
            let before = (victim.elsewhere(), place.symlink_metadata().unwrap().file_type());
            let mut command = victim.download(&case);
            command.args(overwrite.then_some("--overwrite")).env_remove("RAWTORRENT_LOG");
            let elsewhere = victim.elsewhere();
            let done = process::run(&mut command, Duration::from_secs(20)).unwrap();
            assert_eq!(done.code(), Some(1), "{kind}: {}\n{}", done.stdout, done.stderr);
            assert_is_for_people(&done.stderr);
            assert!(done.stderr.contains("t/a"), "{kind}: which file? {}", done.stderr);
            assert_eq!(victim.elsewhere(), elsewhere, "{kind}");
            let after = place.symlink_metadata().unwrap().file_type();
            assert_eq!(before.1, after, "{kind}");
            assert_eq!(kind == "pipe", after.is_fifo());
            count += 1;
        }
    }
    let injected = "pipes, devices, sockets, folders and links in place of a file";
    score(
        "what_is_no_file_is_left_alone",
        injected,
        count,
        "each named, and left as it was",
        "0 changed, 0 hung",
    );
}

/// On a terminal, where the program draws, a stranger's names still draw nothing.
#[test]
fn names_draw_nothing_on_a_terminal() {
    let name = b"\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\nforged\xe2\x80\xaegpj.exe\xc2\x9b";
    let cases = [
        hostile("terminal: one file", name, None, &[]),
        hostile("terminal: folder", name, None, &[Entry::new(&[name, name], 90), Entry::new(&[b"b"], 9)]),
    ];
    let mut count = 0;
    for case in &cases {
        let victim = Victim::new();
        let download = victim.download(case);
        let show = {
            let mut show = binary::command(&victim.home());
            show.arg("show").arg(victim.home().join("the.torrent"));
            show
        };
        for command in [&show, &download] {
            let line: Vec<String> = std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| format!("'{}'", word.to_str().unwrap()))
                .collect();
            let mut on_terminal = Command::new("script");
            on_terminal.args(["-qec", &line.join(" "), "/dev/null"]);
            for (variable, value) in command.get_envs() {
                match value {
                    Some(value) => on_terminal.env(variable, value),
                    None => on_terminal.env_remove(variable),
                };
            }
            let done = run(on_terminal.env("TERM", "xterm"));
            assert_eq!(done.code(), Some(0), "{}", done.stdout);
            for drawn in ["\x1b]0;owned", "\x1b[2J\x1b[31m", "red\r\nforged", "\u{202e}", "\u{9b}"] {
                assert!(!done.stdout.contains(drawn), "{}: {drawn:?} in {:?}", case.what, done.stdout);
            }
            assert!(done.stdout.contains("gpj.exe"), "the name is not shown at all: {}", done.stdout);
            count += 1;
        }
    }
    let injected = "commands on a terminal with names of escape sequences";
    score("names_draw_nothing_on_a_terminal", injected, count, "names shown, none drawn", "0 sequences pass");
}
