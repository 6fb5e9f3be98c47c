//! Names of volumes and snapshots from the native API, as the tree wants them.

use std::time::Duration;

use anyhow::{Context, Result};
use api::client::{Client, Cloud, Source};
use api::types::native::{Tree, TreeVolume};
use uuid::Uuid;

use super::names::{NameSource, News};
use super::tree::{Record, VolumeRecord};

/// For one request; whoever waits for names waits less.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The API of the cloud that a source names, read again after every failure: a daemon that comes
/// back may have another address.
pub(super) struct ApiNames {
    source: Source,
    client: Option<Client>,
    generation: Option<u64>,
}

impl ApiNames {
    /// Names from the cloud of `source`.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            client: None,
            generation: None,
        }
    }

    fn tree(&mut self) -> Result<Tree> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::new(Cloud::load(&self.source)?, REQUEST_LIMIT)?,
        };
        let tree = client.tree()?;
        self.client = Some(client);
        Ok(tree)
    }
}

impl NameSource for ApiNames {
    fn fetch(&mut self) -> Result<News> {
        let tree = match self.tree() {
            Ok(tree) => tree,
            Err(error) => {
                // Another daemon may count from the start.
                self.generation = None;
                return Err(error);
            }
        };
        if self.generation == Some(tree.generation) {
            return Ok(News::Same);
        }
        let volumes = tree.volumes.into_iter().map(volume);
        let volumes = volumes.collect::<Result<_>>()?;
        self.generation = Some(tree.generation);
        Ok(News::Changed(volumes))
    }
}

fn volume(volume: TreeVolume) -> Result<VolumeRecord> {
    let id = parse(&volume.id)?;
    let record = |snapshot: api::types::native::TreeSnapshot| -> Result<Record> {
        Ok(Record {
            id: parse(&snapshot.id)?,
            name: snapshot.name,
            volume_id: id,
            volume_name: volume.name.clone(),
            project_id: volume.project_id.clone(),
            size_bytes: snapshot.size_bytes,
            created_us: snapshot.created_us,
        })
    };
    let snapshots = volume.snapshots.into_iter().map(record);
    Ok(VolumeRecord {
        id,
        snapshots: snapshots.collect::<Result<_>>()?,
        name: volume.name,
        created_us: volume.created_us,
    })
}

fn parse(id: &str) -> Result<Uuid> {
    Uuid::try_parse(id).with_context(|| format!("`{id}` is no id"))
}
