//! Bad certificates of eight kinds, for all who speak TLS.

use super::super::*;
use crate::web_seed::tests::hostile::outcome_at;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use std::process::Command;
use tokio_rustls::TlsAcceptor;

/// The kinds, and what is said of each.
const BAD: [(&str, &str); 8] = [
    ("expired", "certificate expired"),
    ("not yet valid", "certificate not valid yet"),
    ("of another host", "certificate not valid for name"),
    ("self-signed", "UnknownIssuer"),
    ("of an unknown root", "UnknownIssuer"),
    ("with a bad signature", "BadSignature"),
    ("issued by no authority", "CaUsedAsEndEntity|EndEntityUsedAsCa"),
    ("for clients only", "not allow extended key usage"),
];

struct Cert {
    params: CertificateParams,
    key: KeyPair,
}

impl Cert {
    fn new(host: &str) -> Cert {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Cert { params, key: KeyPair::generate().unwrap() }
    }

    fn authority(name: &str) -> Cert {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Cert { params, key: KeyPair::generate().unwrap() }
    }

    fn signed_by(&self, issuer: &Cert) -> Vec<u8> {
        let issuer = Issuer::from_params(&issuer.params, &issuer.key);
        self.params.signed_by(&self.key, &issuer).unwrap().der().to_vec()
    }
}

/// A chain of this kind, and its key.
fn chain(kind: &str, root: &Cert) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut leaf = Cert::new(if kind == "of another host" { "127.0.0.2" } else { "127.0.0.1" });
    match kind {
        "expired" => leaf.params.not_after = date_time_ymd(2020, 1, 1),
        "not yet valid" => leaf.params.not_before = date_time_ymd(4000, 1, 1),
        "for clients only" => leaf.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => {}
    }
    let mut chain = match kind {
        "self-signed" => vec![leaf.params.self_signed(&leaf.key).unwrap().der().to_vec()],
        "of an unknown root" => vec![leaf.signed_by(&Cert::authority("unknown"))],
        "issued by no authority" => {
            let other = Cert::new("127.0.0.9");
            vec![leaf.signed_by(&other), other.signed_by(root)]
        }
        _ => vec![leaf.signed_by(root)],
    };
    if kind == "with a bad signature" {
        *chain[0].last_mut().unwrap() ^= 1;
    }
    (chain, leaf.key.serialize_der())
}

/// Serves TLS with a chain of this kind; the requests that came through are logged.
async fn serve(kind: &str, root: &Cert, log: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let (chain, key) = chain(kind, root);
    let chain = chain.into_iter().map(Into::into).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.try_into().unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let reply = Arc::new(|target: &str| match target {
            "/down" => redirect("http://127.0.0.1:1/"),
            _ if target.starts_with("/down/announce") => redirect("http://127.0.0.1:1/announce"),
            _ if target.starts_with("/down/web-seed") => redirect("http://127.0.0.1:1/file"),
            _ if target.starts_with("/announce") => ok("d5:peersle8:intervali5ee"),
            _ => ok("over TLS"),
        });
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, reply.clone(), log.clone(), Arc::default()).await;
            }
        }
    });
    addr
}

/// Runs in a process of its own, since `SSL_CERT_FILE` is read once: see [`bad_certificates_are_refused_everywhere`].
#[tokio::test]
#[ignore = "run by bad_certificates_are_refused_everywhere"]
async fn child_fetches() {
    for url in std::env::var("RAWTORRENT_TEST_URLS").unwrap().split(' ') {
        for path in ["", "down"] {
            let said = match client().fetch(&format!("{url}{path}"), QUICK).await {
                Ok(body) => String::from_utf8(body).unwrap(),
                Err(error) => error.to_string(),
            };
            println!("<{url}{path}|{said}>");
        }
        for path in ["announce", "down/announce"] {
            println!(
                "<{url}{path}|{}>",
                crate::announce::tests::hostile::outcome_at(&format!("{url}{path}")).await
            );
        }
        for path in ["web-seed", "down/web-seed"] {
            println!("<{url}{path}|{}>", outcome_at(&format!("{url}{path}/")).await);
        }
    }
}

#[tokio::test]
async fn bad_certificates_are_refused_everywhere() {
    let root = Cert::authority("root");
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("ca.pem");
    std::fs::write(&pem, root.params.self_signed(&root.key).unwrap().pem()).unwrap();
    let came_through = Arc::<Mutex<Vec<String>>>::default();
    let good = format!("https://{}/", serve("good", &root, Arc::default()).await);
    let mut urls = vec![good.clone()];
    for (kind, _) in BAD {
        urls.push(format!("https://{}/", serve(kind, &root, came_through.clone()).await));
    }
    let child = |urls: String, roots: &std::path::Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "http::tests::hostile::certificates::child_fetches";
        command.args(["--exact", name, "--ignored", "--nocapture"]);
        command.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR").env("RAWTORRENT_TEST_URLS", urls);
        tokio::task::spawn_blocking(move || String::from_utf8(command.output().unwrap().stdout).unwrap())
    };
    let said = child(urls.join(" "), &pem).await.unwrap();
    let said_at = |url: &str, path: &str| {
        let start = format!("<{url}{path}|");
        let at = said.find(&start).unwrap_or_else(|| panic!("{start}: {said}")) + start.len();
        said[at..].split('>').next().unwrap().to_owned()
    };
    assert_eq!(said_at(&good, ""), "over TLS");
    assert_eq!(said_at(&good, "down"), "it redirects from https to plain http");
    assert_eq!(said_at(&good, "announce"), "0 peers");
    assert_eq!(said_at(&good, "down/announce"), "it redirects from https to plain http");
    assert_eq!(said_at(&good, "web-seed"), "a file there has another length than in the torrent");
    assert_eq!(said_at(&good, "down/web-seed"), "it redirects from https to plain http");
    for ((kind, why), url) in BAD.into_iter().zip(&urls[1..]) {
        for path in ["", "announce", "web-seed"] {
            let line = said_at(url, path);
            let is_told = why.split('|').any(|why| line.contains(why));
            assert!(line.starts_with("no secure connection: ") && is_told, "{kind}, {path}: {line}");
        }
    }
    assert_eq!(*came_through.lock().unwrap(), Vec::<String>::new());
    let unknown = child(good.clone(), &folder.path().join("none.pem")).await.unwrap();
    assert!(unknown.contains("UnknownIssuer") && !unknown.contains("|over TLS>"), "{unknown}");
    score(
        "bad_certificates_are_refused_everywhere",
        "TLS servers with bad certificates, for torrent files, trackers and web seeds",
        BAD.len() * 3,
        "each refused in the handshake, no request sent",
        "no request goes to a server without a good certificate",
    );
}
