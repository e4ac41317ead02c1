//! Faults that are planted on purpose, to see that the tests that guard against them find them. Never part of a program:
//! the feature `planted` is for the controls of tests alone.

use crate::http::Bounds;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tracker::AnnounceResponse;

/// Names the fault that a program with this feature is to have.
pub const VARIABLE: &str = "RAWTORRENT_PLANTED";

/// The name of the fault, if there is to be one.
pub fn fault() -> Option<&'static str> {
    static FAULT: OnceLock<Option<String>> = OnceLock::new();
    FAULT.get_or_init(|| env::var(VARIABLE).ok()).as_deref()
}

/// Whether it is this one.
pub fn is(name: &str) -> bool {
    fault() == Some(name)
}

/// What the time of day would have it be, as if that never jumped.
pub fn wall_clock() -> types::Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    types::Time::ZERO + since
}

/// Bounds that are none.
pub(crate) fn bounds(bounds: Bounds) -> Bounds {
    let patient = if is("patient-client") { 10 } else { 1 };
    let body = if is("endless-body") { usize::MAX } else { bounds.body };
    Bounds { body, idle: bounds.idle * patient, total: bounds.total * patient }
}

/// What a tracker said, with a peer that is none.
pub(crate) fn answer(mut answer: AnnounceResponse) -> AnnounceResponse {
    if is("any-peer") {
        answer.peers.insert(0, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    }
    answer
}

/// Lets every certificate pass.
pub(crate) fn trust(config: &mut rustls::ClientConfig) {
    if is("any-certificate") {
        config.dangerous().set_certificate_verifier(Arc::new(Trustful));
    }
}

#[derive(Debug)]
struct Trustful;

impl ServerCertVerifier for Trustful {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
