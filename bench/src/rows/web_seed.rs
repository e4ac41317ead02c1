//! Downloading from one web server that is faster than anybody can take it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tests::process::Proc;

use super::{GIB, MIB, gib};
use crate::clients::{self, Client};
use crate::content::{self, Torrent};
use crate::lab::Lab;
use crate::limits::rate;
use crate::meter;
use crate::report::{Bar, Bound, Measure, Over, Table, measure};

const LIMIT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
const SIZE: u64 = 2 * GIB;

const MEASURES: &[Measure] = &[measure("rate", "MiB/s", 0), measure("CPU", "s/GiB", 2)];
const BARS: &[Bar] = &[Bar { of: 0, over: Over::Peer("curl"), bound: Bound::AtLeast(0.8) }];

pub(super) fn run(lab: &Lab) -> Result<Table> {
    let torrent = lab.torrent(SIZE, usize::try_from(MIB)?)?;
    lab.provide(&torrent)?;
    let server = Server::start(lab)?;
    let entries = lab.interleave(&[Client::Rawtorrent, Client::Curl], settings, |client| {
        let taken = download(lab, client, &torrent, &server)?;
        Ok(vec![rate(SIZE, Duration::from_secs_f64(taken.wall)), taken.cpu / gib(SIZE)])
    });
    Ok(Table {
        row: "web-seed",
        about: "One client downloads 2 GiB in pieces of 1 MiB over HTTP from nginx on the same machine, into a new file in \
                memory. From the start of the process to its end: all of it verified and written, or written and hashed."
            .into(),
        measures: MEASURES,
        bars: BARS,
        entries,
        notes: vec![],
    })
}

fn settings(client: Client) -> String {
    match client {
        Client::Curl => "`curl -s URL | tee FILE | sha1sum`".into(),
        _ => "defaults; one web seed, no peers".into(),
    }
}

fn download(lab: &Lab, client: Client, torrent: &Torrent, server: &Server) -> Result<meter::Taken> {
    let party = lab.party()?;
    let file = party.data().join(content::NAME);
    // The memory for the new file is memory that has just been in use.
    lab.fill_with_garbage(&file, SIZE)?;
    fs::remove_file(&file)?;
    let mut command = match client {
        Client::Rawtorrent => {
            let path = torrent.write_with_web_seed(&party.dir.join("web.torrent"), &server.url)?;
            let mut command = clients::rawtorrent_leech(lab, &party, &path, &party.data(), &[]);
            command.arg("--allow-private");
            command
        }
        Client::Curl => {
            let mut command = lab.command(&party, "sh");
            command.args(["-c", "curl -s \"$1\" | tee \"$2\" | sha1sum", "sh", &server.url]).arg(&file);
            command
        }
        _ => bail!("it knows no web seeds"),
    };
    let taken = meter::run(&mut command, &party.dir.join("log"), LIMIT)?;
    torrent.content.verify(&file)?;
    Ok(taken)
}

/// nginx, which serves the lab's file until it is dropped.
#[derive(Debug)]
struct Server {
    url: String,
    _process: Proc,
}

impl Server {
    fn start(lab: &Lab) -> Result<Server> {
        let addr = SocketAddr::new(lab.seeder_addr(0).ip(), 8_080);
        let dir = lab.data()?.join("nginx");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("nginx.conf"), config(addr, &lab.data()?))?;
        File::create(dir.join("error.log"))?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&dir)
            .arg("-c")
            .arg(dir.join("nginx.conf"))
            .arg("-e")
            .arg(dir.join("error.log"));
        let process = Proc::spawn(&mut command, &dir.join("log")).context("nginx")?;
        let until = Instant::now() + SOON;
        while TcpStream::connect(addr).is_err() {
            ensure!(Instant::now() < until, "nginx does not listen: {}", meter::tail(&process));
            thread::sleep(LOOK);
        }
        Ok(Server { url: format!("http://{addr}/{}", content::NAME), _process: process })
    }
}

/// As Debian's own configuration has it, without logs, and with all that it writes in its own folder.
fn config(addr: SocketAddr, root: &Path) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {what};\n"))
        .concat();
    format!(
        "daemon off; pid nginx.pid; user root; worker_processes auto;\nevents {{}}\nhttp {{\n{temporary}access_log off; sendfile \
         on; tcp_nopush on;\nserver {{ listen {addr}; root {}; }}\n}}\n",
        root.display()
    )
}
