//! The door to where backups lie: a directory, or a bucket of an S3-compatible service.
//!
//! Calls block, from any thread: the requests run on a thread of the target's own. What is put is
//! there whole or not at all, and durable when the call returns; in a directory the files and the
//! folders they are in are synced. What the other side says of an error is logged, and not part of
//! the error: that is shown to tenants.

use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};

/// A bucket and how to get at it. Shows neither key.
pub struct BucketSettings {
    /// Its name.
    pub bucket: String,
    /// Where the service answers; `None` is Amazon's.
    pub endpoint: Option<String>,
    /// Region, which signatures name.
    pub region: String,
    /// Name of the access key.
    pub access_key_id: Zeroizing<String>,
    /// The access key.
    pub secret_access_key: Zeroizing<String>,
}

/// An open target. Cheap to clone.
#[derive(Clone)]
pub struct Target(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    /// The same, when it is a directory.
    directory: Option<LocalFileSystem>,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Target {
    /// Without where it is: an endpoint may tell more than a log should.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waiting for its thread is not allowed on threads of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What lies in a folder.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) folders: Vec<Path>,
    pub(super) objects: Vec<Path>,
}

impl Target {
    /// A directory, which is made if it is not there, for its owner only.
    ///
    /// # Errors
    /// `Settings` when it cannot be made.
    pub fn directory(path: &std::path::Path) -> Result<Self> {
        let refused = |error: &dyn std::fmt::Display| {
            let context = format!("backup directory {}: {error}", path.display());
            Error::new(ErrorKind::Settings, context)
        };
        make_private(path).map_err(|error| refused(&error))?;
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| refused(&error))?;
        // A write that was answered must survive a power loss: what comes after relies on it.
        let store = store.with_fsync(true);
        Self::over(Arc::new(store.clone()), Some(store))
    }

    /// A bucket, which must exist.
    ///
    /// # Errors
    /// `Settings` when they make no sense; whether the service answers is found out later.
    pub fn bucket(settings: &BucketSettings) -> Result<Self> {
        // The client finds its cryptography by this; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = |endpoint: &String| endpoint.starts_with("http://");
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_access_key_id(settings.access_key_id.as_str())
            .with_secret_access_key(settings.secret_access_key.as_str())
            .with_client_options(ClientOptions::new())
            .with_allow_http(settings.endpoint.as_ref().is_some_and(plain));
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|_| {
            let context = format!("bucket {} cannot be used as configured", settings.bucket);
            Error::new(ErrorKind::Settings, context)
        })?;
        Self::over(Arc::new(store), None)
    }

    fn over(store: Arc<dyn ObjectStore>, directory: Option<LocalFileSystem>) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("backup-io")
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::Settings, error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            store,
            directory,
            runtime: Some(runtime),
        })))
    }

    /// Runs a request on the target's thread and waits for it.
    fn wait<T, F>(&self, path: &Path, request: F) -> Result<Option<T>>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let runtime = self.0.runtime.as_ref();
        runtime
            .expect("it is taken in drop only")
            .spawn(async move {
                // Nobody waits any more only if the caller's thread is gone.
                let _ = sender.send(request.await);
            });
        match receiver.recv() {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(object_store::Error::NotFound { .. })) => Ok(None),
            Ok(Err(error)) => Err(refused(path, &error)),
            Err(_) => Err(Error::new(
                ErrorKind::Target,
                format!("the request for {path} was dropped"),
            )),
        }
    }

    /// Writes or replaces an object.
    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<()> {
        let (store, at) = (self.0.store.clone(), path.clone());
        let payload = PutPayload::from(Bytes::from(bytes));
        self.wait(path, async move { store.put(&at, payload).await })?;
        Ok(())
    }

    /// Writes an object unless there is one; whether it did.
    pub(super) fn put_new(&self, path: &Path, bytes: Vec<u8>) -> Result<bool> {
        let (store, at) = (self.0.store.clone(), path.clone());
        let payload = PutPayload::from(Bytes::from(bytes));
        let created = self.wait(path, async move {
            let options = PutOptions::from(PutMode::Create);
            match store.put_opts(&at, payload, options).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        })?;
        Ok(created.unwrap_or(false))
    }

    /// Reads an object of at most `longest` bytes; `None` if there is none.
    pub(super) fn find(&self, path: &Path, longest: u64) -> Result<Option<Bytes>> {
        let (store, at) = (self.0.store.clone(), path.clone());
        let found = self.wait(path, async move {
            let found = store.get(&at).await?;
            match found.meta.size <= longest {
                true => Ok(Some(found.bytes().await?)),
                false => Ok(None),
            }
        })?;
        match found {
            Some(None) => Err(Error::corrupt(path, "it is longer than it may be")),
            Some(bytes) => Ok(bytes),
            None => Ok(None),
        }
    }

    /// Reads an object of at most `longest` bytes.
    pub(super) fn get(&self, path: &Path, longest: u64) -> Result<Bytes> {
        self.find(path, longest)?.ok_or_else(|| missing(path))
    }

    /// Reads a part of an object; it must have all of it.
    pub(super) fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let (store, at) = (self.0.store.clone(), path.clone());
        let wanted = range.end - range.start;
        let found = self.wait(path, async move {
            match store.get_range(&at, range.clone()).await {
                // A shorter object is damage, and no trouble with the target.
                Err(error) => match store.head(&at).await?.size < range.end {
                    true => Ok(None),
                    false => Err(error),
                },
                bytes => bytes.map(Some),
            }
        })?;
        match found {
            Some(Some(bytes)) if bytes.len() as u64 == wanted => Ok(bytes),
            Some(_) => Err(Error::corrupt(path, "it is too short")),
            None => Err(missing(path)),
        }
    }

    /// Removes an object; it may be gone.
    pub(super) fn delete(&self, path: &Path) -> Result<()> {
        let (store, at) = (self.0.store.clone(), path.clone());
        self.wait(path, async move { store.delete(&at).await })?;
        self.sync_folder(path)
    }

    /// Makes a removal durable. The library syncs what it writes, and not what it removes.
    fn sync_folder(&self, path: &Path) -> Result<()> {
        let Some(file) = self.file(path) else {
            return Ok(());
        };
        let folder = file.parent().map(std::fs::File::open);
        match folder {
            Some(Ok(folder)) => folder.sync_all().map_err(|error| refused(path, &error)),
            // A folder that is not there has nothing that could come back.
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> Option<PathBuf> {
        self.0.directory.as_ref()?.path_to_filesystem(path).ok()
    }

    /// What lies in a folder: folders and objects, not what is in the folders.
    pub(super) fn list(&self, folder: &Path) -> Result<Listing> {
        let (store, at) = (self.0.store.clone(), folder.clone());
        let found = self.wait(folder, async move {
            let found = store.list_with_delimiter(Some(&at)).await?;
            Ok(Listing {
                folders: found.common_prefixes,
                objects: found.objects.into_iter().map(|o| o.location).collect(),
            })
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Removes files of the folder that a crash left half written. Nobody may be writing there.
    pub(super) fn remove_unfinished(&self, folder: &Path) {
        let Some(Ok(entries)) = self.file(folder).map(std::fs::read_dir) else {
            return;
        };
        for entry in entries.flatten() {
            // The library writes `NAME#NUMBER` and renames it.
            if entry.file_name().to_string_lossy().contains('#')
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(%error, "a half written file of the backup target stays");
            }
        }
    }
}

fn missing(path: &Path) -> Error {
    Error::new(ErrorKind::Missing, format!("{path} is missing"))
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> Error {
    tracing::warn!(%error, object = %path, "the backup target failed");
    Error::new(
        ErrorKind::Target,
        "the backup target cannot be used".to_owned(),
    )
}

fn make_private(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}
