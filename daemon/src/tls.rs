//! The certificate that the daemon shows, and its key.
//!
//! Every connection that begins gets the pair of the last good reading, so that a renewed
//! certificate needs no restart and connections that are there do not notice. A pair that cannot be
//! used (not there, not of each other, a key that others can read) changes nothing.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::private;

/// Largest file of certificates read, in bytes.
const CHAIN_BYTES_MAX: u64 = 1 << 20;
/// What the listeners speak within TLS, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate with its key, as last read.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads both files.
    pub(crate) fn open(cert: &Path, key: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(Arc::new(read(cert, key)?)),
        }))
    }

    /// Reads both files again; on an error the pair stays what it was.
    pub(crate) fn reload(&self) -> Result<()> {
        let read = Arc::new(read(&self.cert, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Days until the certificate ends; negative when it has.
    pub(crate) fn left_days(&self) -> Result<i64> {
        let current = self.current.read();
        let chain = current.unwrap_or_else(PoisonError::into_inner).clone();
        let (_, own) = x509_parser::parse_x509_certificate(chain.end_entity_cert()?)?;
        let now_s = Timestamp::now().as_second();
        Ok((own.validity().not_after.timestamp() - now_s).div_euclid(86_400))
    }

    /// How HTTPS listeners speak: TLS 1.2 at least, HTTP/2 for those who ask for it.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&versions)
            .context("TLS")?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read();
        Some(current.unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The certificates of a PEM file, the first of which is its owner's.
pub(crate) fn chain(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("{setting} {shown}"))?;
    let mut pem = Vec::new();
    file.take(CHAIN_BYTES_MAX)
        .read_to_end(&mut pem)
        .with_context(|| format!("{setting} {shown}"))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.with_context(|| format!("{setting} {shown}"))?;
    ensure!(!chain.is_empty(), "{setting} {shown} has no certificate");
    Ok(chain)
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain = chain("http.tls_cert", cert)?;
    let pem = private::read("http.tls_key", key)?;
    // What the parser says could quote the key.
    let parsed = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok();
    let parsed = parsed.with_context(|| format!("http.tls_key {} has no key", key.display()))?;
    CertifiedKey::from_der(chain, parsed, &ring::default_provider()).with_context(|| {
        let (cert, key) = (cert.display(), key.display());
        format!("http.tls_cert {cert} with http.tls_key {key}")
    })
}
