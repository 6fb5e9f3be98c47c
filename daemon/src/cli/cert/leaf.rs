//! The certificate of a host, and its key.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use super::Kind;
use super::authority::{Authority, PRIVATE, PUBLIC, params, write_new};
use crate::{datadir, private};

/// A certificate is good from this long before it is made, for hosts whose clocks are behind.
const BACK: Duration = Duration::HOUR;

/// From when to when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    from: OffsetDateTime,
    days: u32,
}

impl Validity {
    /// So many days from now on.
    pub(super) fn days(days: u32) -> Self {
        Self { from: now(), days }
    }

    pub(super) fn bounds(self) -> (OffsetDateTime, OffsetDateTime) {
        let end = self.from + Duration::days(i64::from(self.days));
        (self.from - BACK, end)
    }
}

fn now() -> OffsetDateTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = seconds.map_or(0, |since| since.as_secs());
    let seconds = i64::try_from(seconds).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A certificate and its key in a folder.
pub(super) struct Leaf {
    certificate: PathBuf,
    key: PathBuf,
    kind: Kind,
}

impl Leaf {
    pub(super) fn new(dir: &Path, kind: Kind) -> Self {
        let word = match kind {
            Kind::Server => "server",
            Kind::Client => "client",
        };
        Self {
            certificate: dir.join(format!("{word}-cert.pem")),
            key: dir.join(format!("{word}-key.pem")),
            kind,
        }
    }

    /// Where the certificate is.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Makes both, where neither is.
    pub(super) fn issue(
        &self,
        authority: &Authority,
        names: &[String],
        validity: Validity,
    ) -> Result<()> {
        let key = KeyPair::generate()?;
        let pem = self.sign(authority, names, validity, &key)?;
        let text = Zeroizing::new(key.serialize_pem());
        write_new(&self.key, PRIVATE, text.as_bytes())?;
        write_new(&self.certificate, PUBLIC, pem.as_bytes())
    }

    /// Replaces the certificate by one for the same names, and its key only when asked to.
    pub(super) fn renew(
        &self,
        authority: &Authority,
        validity: Validity,
        new_key: bool,
    ) -> Result<()> {
        let names = self.names()?;
        let key = match new_key {
            true => KeyPair::generate()?,
            false => self.read_key()?,
        };
        let pem = self.sign(authority, &names, validity, &key)?;
        if new_key {
            let text = Zeroizing::new(key.serialize_pem());
            datadir::replace(&self.key, text.as_bytes())?;
        }
        replace_public(&self.certificate, pem.as_bytes())
    }

    fn sign(
        &self,
        authority: &Authority,
        names: &[String],
        validity: Validity,
        key: &KeyPair,
    ) -> Result<String> {
        let first = names.first().context("a certificate needs a name")?;
        let mut params = params(names.to_vec(), first, validity)
            .with_context(|| format!("certificate for {}", names.join(", ")))?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match self.kind {
            Kind::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Kind::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        Ok(params.signed_by(key, &authority.issuer)?.pem())
    }

    fn read_key(&self) -> Result<KeyPair> {
        let pem = private::read("the key", &self.key)?;
        let key = KeyPair::from_pem(&pem).ok();
        key.with_context(|| format!("{} has no key", self.key.display()))
    }

    /// Days that the certificate is still good for; negative when it is not.
    pub(super) fn left_days(&self) -> Result<i64> {
        self.with_certificate(|certificate| {
            let end = certificate.validity().not_after.timestamp();
            Ok((end - now().unix_timestamp()).div_euclid(86_400))
        })
    }

    /// The names and addresses in the certificate.
    fn names(&self) -> Result<Vec<String>> {
        self.with_certificate(|certificate| {
            let extension = certificate.subject_alternative_name()?;
            let names = extension.map(|extension| &extension.value.general_names);
            let names: Result<Vec<_>> = names.into_iter().flatten().map(name).collect();
            let names = names?;
            ensure!(!names.is_empty(), "it has no names");
            Ok(names)
        })
    }

    fn with_certificate<T>(&self, look: impl Fn(&X509Certificate<'_>) -> Result<T>) -> Result<T> {
        let work = || {
            let pem = fs::read(&self.certificate)?;
            let (_, pem) = parse_x509_pem(&pem)?;
            look(&pem.parse_x509()?)
        };
        work().with_context(|| self.certificate.display().to_string())
    }
}

fn name(name: &GeneralName<'_>) -> Result<String> {
    match name {
        GeneralName::DNSName(name) => Ok((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(Into::into));
            Ok(address.context("an address of odd length")?.to_string())
        }
        other => anyhow::bail!("it has a name that is neither of a host nor an address: {other}"),
    }
}

/// Replaces a file that all may read, at once.
fn replace_public(path: &Path, content: &[u8]) -> Result<()> {
    let dir = path.parent().context("a file without a folder")?;
    let work = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(content)?;
        let mode = Permissions::from_mode(PUBLIC);
        file.as_file().set_permissions(mode)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(dir)?.sync_all()
    };
    work().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{Authority, Kind, Leaf, Validity};

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn nothing_is_overwritten_but_what_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ca");
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let authority = Authority::create(&dir, "test", Validity::days(10)).unwrap();
        let leaf = Leaf::new(&dir, Kind::Server);
        leaf.issue(&authority, &names, Validity::days(2)).unwrap();
        assert!(Authority::create(&dir, "test", Validity::days(10)).is_err());
        assert!(leaf.issue(&authority, &names, Validity::days(2)).is_err());
        for (file, expected) in [
            ("ca-key.pem", 0o600),
            ("ca-cert.pem", 0o644),
            ("server-key.pem", 0o600),
            ("server-cert.pem", 0o644),
        ] {
            assert_eq!(mode(&dir.join(file)), expected, "{file}");
        }
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
        let (ca, key, cert) = (
            read("ca-key.pem"),
            read("server-key.pem"),
            read("server-cert.pem"),
        );
        assert!((1..=2).contains(&leaf.left_days().unwrap()));
        let authority = Authority::open(&dir).unwrap();
        leaf.renew(&authority, Validity::days(9), false).unwrap();
        assert_eq!(read("server-key.pem"), key);
        assert_ne!(read("server-cert.pem"), cert);
        assert!((8..=9).contains(&leaf.left_days().unwrap()));
        assert_eq!(leaf.names().unwrap(), names);
        leaf.renew(&authority, Validity::days(9), true).unwrap();
        assert_ne!(read("server-key.pem"), key);
        assert_eq!(read("ca-key.pem"), ca);
        assert_eq!(mode(&dir.join("server-key.pem")), 0o600);
        assert_eq!(mode(&dir.join("server-cert.pem")), 0o644);
    }

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        Authority::create(dir.path(), "test", Validity::days(10)).unwrap();
        let key = dir.path().join("ca-key.pem");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Authority::open(dir.path()).is_err());
    }
}
