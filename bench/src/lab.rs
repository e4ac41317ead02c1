//! Where benchmarks run: a network that is only loopback, a folder in memory, and everybody's turn after everybody's.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use tests::binary;
use tests::interop::{Party, Programs, lab as interop, netns};

use crate::clients::{self, Client};
use crate::content::{self, Torrent};
use crate::report::Entry;

/// What the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The binary under test.
    pub(crate) binary: PathBuf,
    /// Where `rqbit` is, if it is to take part.
    pub(crate) rqbit: Option<PathBuf>,
    /// How often everybody runs.
    pub(crate) runs: usize,
    /// Whether all take part, and at the sizes of issue 4.
    pub(crate) full: bool,
    /// How TCP finds its rate.
    pub(crate) congestion: String,
    /// For results and hashes.
    pub(crate) dir: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) setup: Setup,
    pub(crate) programs: Programs,
    /// In memory, and gone when we are.
    memory: PathBuf,
    next_port: AtomicU16,
}

/// How TCP finds its rate, in this namespace.
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// What is written at once.
const CHUNK: usize = 1 << 20;

impl Lab {
    /// Moves this process into namespaces of its own.
    pub(crate) fn enter(setup: Setup) -> Result<Lab> {
        netns::enter()?;
        netns::set_up(&interop::addresses(), interop::global_address())?;
        fs::write(CONGESTION_CONTROL, &setup.congestion)
            .with_context(|| format!("{CONGESTION_CONTROL} does not take {}", setup.congestion))?;
        let memory = setup.dir.join("memory");
        fs::create_dir_all(&memory).with_context(|| memory.display().to_string())?;
        netns::cover(&memory)?;
        let programs = Programs::new(Some(setup.binary.clone()), &memory)?;
        fs::write(memory.join(clients::SCRIPT), clients::LIBTORRENT)?;
        Ok(Lab { setup, programs, memory, next_port: AtomicU16::new(20_000) })
    }

    /// Where the null seeder listens.
    pub(crate) fn seeder_addr(&self, number: u8) -> SocketAddr {
        ([10, 77, 0, 10 + number], 6_881).into()
    }

    /// Where a null reader comes from: rTorrent takes one connection from an address.
    pub(crate) fn reader_addr(&self, number: u8) -> Ipv4Addr {
        [10, 77, 0, 3 + number].into()
    }

    /// Where one of many guests comes from: 140 addresses, to begin with the first again.
    pub(crate) fn guest_addr(&self, number: u8) -> Ipv4Addr {
        [10, 77, 0, 100 + number % 140].into()
    }

    /// Where a client listens: never the same port twice, since some don't take over one that was just in use.
    pub(crate) fn client_addr(&self) -> SocketAddr {
        ([10, 77, 0, 2], self.next_port.fetch_add(1, Ordering::Relaxed)).into()
    }

    /// The folder of whoever runs, emptied.
    pub(crate) fn party(&self) -> Result<Party> {
        self.party_named("party", self.client_addr())
    }

    /// A folder of its own for one of several that run together, or again: emptied, with one for data in it.
    pub(crate) fn party_named(&self, name: &str, addr: SocketAddr) -> Result<Party> {
        let dir = self.memory.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir.join("data"))?;
        Ok(Party { addr, dir })
    }

    /// Where a folder of that name is or will be, until the row ends.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.memory.join(name)
    }

    /// A command of a party's, without the user's settings.
    pub(crate) fn command(&self, party: &Party, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        binary::isolate(&mut command, &party.dir);
        command.current_dir(&party.dir);
        command
    }

    /// Our Python script, with where Python finds libtorrent.
    pub(crate) fn python(&self, party: &Party) -> Command {
        let path = std::env::var_os("RAWTORRENT_PYTHONPATH");
        let mut command = self.command(party, "python3");
        command.arg(self.memory.join(clients::SCRIPT)).env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(path) = path {
            command.env("PYTHONPATH", path);
        }
        command
    }

    /// Where content lies that is kept from run to run.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        let data = self.memory.join("data");
        fs::create_dir_all(&data)?;
        Ok(data)
    }

    /// The file in it.
    pub(crate) fn file(&self) -> Result<PathBuf> {
        Ok(self.data()?.join(content::NAME))
    }

    /// Makes a torrent, or takes one with known hashes.
    pub(crate) fn torrent(&self, total: u64, piece_len: usize) -> Result<Torrent> {
        Torrent::new(total, piece_len, &self.setup.dir.join("hashes"))
    }

    /// Fills a file with other bytes than any torrent's.
    pub(crate) fn fill_with_garbage(&self, path: &Path, len: u64) -> Result<()> {
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        file.set_len(len)?;
        let garbage = vec![0x55; CHUNK];
        for offset in (0..len).step_by(CHUNK) {
            let left = usize::try_from(len - offset).unwrap_or(CHUNK);
            file.write_all(&garbage[..CHUNK.min(left)])?;
        }
        Ok(())
    }

    /// Writes the file of a torrent, to be seeded or hashed.
    pub(crate) fn provide(&self, torrent: &Torrent) -> Result<()> {
        torrent.content.write(&self.file()?)
    }

    /// Removes what is left of a row.
    pub(crate) fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.memory)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    /// Lets everybody run in turn, as often as was asked for. Whoever fails has no figure for that run.
    pub(crate) fn interleave(
        &self,
        clients: &[Client],
        settings: impl Fn(Client) -> String,
        mut run: impl FnMut(Client) -> Result<Vec<f64>>,
    ) -> Vec<Entry> {
        let mut entries: Vec<Entry> = clients
            .iter()
            .map(|&client| Entry {
                name: client.name().into(),
                version: client.version(self).unwrap_or_else(|error| format!("({error:#})")),
                settings: settings(client),
                ..Entry::default()
            })
            .collect();
        for round in 1..=self.setup.runs {
            for (entry, &client) in entries.iter_mut().zip(clients) {
                match run(client) {
                    Ok(figures) => {
                        let shown: Vec<String> =
                            figures.iter().map(|figure| format!("{figure:.3}")).collect();
                        println!("  {round} {:<20} {}", entry.name, shown.join("  "));
                        entry.runs.push(figures);
                    }
                    Err(error) => {
                        println!("  {round} {:<20} failed: {error:#}", entry.name);
                        entry.failures.push(format!("{error:#}"));
                    }
                }
            }
        }
        entries
    }
}

/// Creates a file's parent folders and writes it.
pub(crate) fn save(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
