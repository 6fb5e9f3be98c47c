//! What SIGHUP has the daemon read or open again: the certificate, and the audit log.
//!
//! What cannot be read again stays as it was, and the log says so.

use std::sync::Arc;

use anyhow::Result;
use rustls::ServerConfig;

use super::audit::AuditFile;
use crate::config::Config;
use crate::tls::Certificate;

/// Files that may change while the daemon runs.
pub(super) struct Reloads {
    certificate: Option<Arc<Certificate>>,
    audit: Option<Arc<AuditFile>>,
}

impl Reloads {
    /// Opens what the settings name.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let tls = &config.http.tls;
        let certificate = match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => Some(Certificate::open(cert, key)?),
            _ => None,
        };
        let audit = config.audit.as_deref().map(AuditFile::open).transpose()?;
        Ok(Self { certificate, audit })
    }

    /// Whether there is nothing to read again.
    pub(super) fn is_empty(&self) -> bool {
        self.certificate.is_none() && self.audit.is_none()
    }

    /// How listeners speak TLS, if they do.
    pub(super) fn tls(&self) -> Result<Option<Arc<ServerConfig>>> {
        let certificate = self.certificate.as_ref();
        certificate.map(Certificate::server_config).transpose()
    }

    /// Where the audit log goes, if anywhere.
    pub(super) fn audit(&self) -> Option<&Arc<AuditFile>> {
        self.audit.as_ref()
    }

    /// Writes what waits to be written.
    pub(super) fn close(&self) {
        if let Some(audit) = &self.audit {
            audit.close();
        }
    }

    /// Reads all of it again.
    pub(super) fn reload(&self) {
        if let Some(certificate) = &self.certificate {
            match certificate.reload() {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(%error, "the certificate stays what it was");
                }
            }
        }
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
    }
}
