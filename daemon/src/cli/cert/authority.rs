//! A CA in a folder: a certificate that all may have, and a key that nobody else may.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use zeroize::Zeroizing;

use super::leaf::Validity;
use crate::private;

/// Permissions of what all may read, and of what only the owner may.
pub(super) const PUBLIC: u32 = 0o644;
pub(super) const PRIVATE: u32 = 0o600;

/// A CA that can sign.
pub(super) struct Authority {
    certificate: PathBuf,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one in a folder that has none.
    pub(super) fn create(dir: &Path, name: &str, validity: Validity) -> Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(dir)
            .with_context(|| format!("creating {}", dir.display()))?;
        let mut params = params(Vec::new(), name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let (certificate, key_path) = paths(dir);
        // The key first: without it nothing is there yet, and an old one ends it here.
        write_new(
            &key_path,
            PRIVATE,
            Zeroizing::new(key.serialize_pem()).as_bytes(),
        )?;
        write_new(&certificate, PUBLIC, pem.as_bytes())?;
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// The one of a folder.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let (certificate, key_path) = paths(dir);
        let pem = private::read("the CA's key", &key_path)?;
        // What the parser says could quote the key.
        let key = KeyPair::from_pem(&pem).ok();
        let key = key.with_context(|| format!("{} has no key", key_path.display()))?;
        let shown = certificate.display();
        let pem = fs::read_to_string(&certificate).with_context(|| shown.to_string())?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key);
        Ok(Self {
            issuer: issuer.with_context(|| shown.to_string())?,
            certificate,
        })
    }

    /// Where its certificate is.
    pub(super) fn certificate_path(&self) -> PathBuf {
        self.certificate.clone()
    }
}

fn paths(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("ca-cert.pem"), dir.join("ca-key.pem"))
}

/// What all certificates made here have in common.
pub(super) fn params(
    names: Vec<String>,
    common_name: &str,
    validity: Validity,
) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    (params.not_before, params.not_after) = validity.bounds();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).context("random bytes")?;
    // Positive, and never of fewer bytes.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// Writes a file that must not be there.
pub(super) fn write_new(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let work = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(path)?;
        file.write_all(content)?;
        file.sync_all()?;
        path.parent()
            .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    work().with_context(|| format!("writing {}", path.display()))
}
