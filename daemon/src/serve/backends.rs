//! Opening and closing the pools of all backends.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use api::server::{Backend, BackendSettings, Backends};
use store::disk::Io;
use store::{OpenOptions, Store};

use super::CATALOGUE_SHARE;
use crate::config::{BackendConfig, Config};

/// Opens them all, with equal shares of the memory.
pub(super) fn open(config: &Config, io: &Arc<dyn Io>) -> Result<Backends> {
    let memory = config.memory_bytes - config.memory_bytes / CATALOGUE_SHARE;
    let share = memory / config.backends.len().max(1) as u64;
    let opened = config
        .backends
        .iter()
        .map(|backend| one(backend, config, share, io));
    let mut opened = opened.collect::<Result<Vec<_>>>()?.into_iter();
    let first = opened.next().context("there is no backend")?;
    Ok(Backends::new(first, opened.collect()))
}

fn one(
    backend: &BackendConfig,
    config: &Config,
    memory_bytes: u64,
    io: &Arc<dyn Io>,
) -> Result<Backend> {
    let options = OpenOptions {
        memory_bytes,
        fingerprints: config.fingerprints,
        recompression: config.recompression(),
        raw_tier_bytes: backend.raw_tier_bytes,
        scrub: config.scrub,
        ..OpenOptions::default()
    };
    let (begun, path) = (Instant::now(), &backend.directory);
    let master_key = config.master_key.clone();
    let store = Store::open_with_master_key(io.clone(), path, master_key, options)
        .map_err(|error| hinted(error, path))?;
    // The others are served; a key that is put back is found without a restart.
    if let Err(error) = store.probe_key() {
        tracing::error!(backend = backend.name, %error, "encrypted volumes cannot be opened");
    }
    let stats = store.stats();
    let took_ms = begun.elapsed().as_millis() as u64;
    let (volumes, snapshots) = (stats.volumes, stats.snapshots);
    tracing::info!(
        backend = backend.name,
        volumes,
        snapshots,
        took_ms,
        "pool opened"
    );
    let found = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    let settings = BackendSettings {
        name: backend.name.clone(),
        volume_backend_name: backend.volume_backend_name.clone(),
        capacity_bytes: backend.capacity_bytes,
        reserved_percentage: backend.reserved_percentage,
        max_over_subscription_ratio: backend.max_over_subscription_ratio,
        capabilities: backend.capabilities.clone(),
        file_system: found.dev(),
    };
    Ok(Backend::new(settings, store))
}

/// Closes them all, whatever one of them says; the first error is told.
pub(super) fn close(backends: &Backends) -> Result<()> {
    let close = |backend: &Backend| {
        let closed = backend.store().close();
        closed.with_context(|| format!("closing the pool of {}", backend.name()))
    };
    let results: Vec<Result<()>> = backends.iter().map(close).collect();
    results.into_iter().collect()
}

/// Says what can be done about a pool whose index is lost or damaged.
fn hinted(error: store::Error, path: &Path) -> anyhow::Error {
    let path = path.display();
    let context = match error.kind() {
        store::ErrorKind::Corrupt => format!(
            "opening the pool in {path} (`cinderblock rebuild --pool {path}` makes its metadata again)"
        ),
        _ => format!("opening the pool in {path}"),
    };
    anyhow::Error::new(error).context(context)
}
