//! `pool.toml`: what makes a folder a pool, and what a program must know to read it.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::disk::{Caching, Create, File, Io};
use crate::{Error, ErrorKind, Result};

/// Its name. A folder that holds it is a pool.
pub(crate) const FILE_NAME: &str = "pool.toml";
const FORMAT_VERSION: u32 = 1;
/// Set before the pool's first encrypted volume is made.
pub(crate) const ENCRYPTION: &str = "encryption";
/// Set once the pages of the metadata have sums: a program that does not keep them up must not write.
pub(crate) const SUMS: &str = "metadata-sums";

/// The file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolFile {
    pub(crate) id: Uuid,
    format_version: u32,
    /// Features that a program must know to read the pool.
    incompatible_features: Vec<String>,
}

impl PoolFile {
    /// Reads the file in `dir`, or makes it.
    pub(crate) fn open(io: &dyn Io, dir: &Path) -> Result<Self> {
        match Self::read(io, dir) {
            Err(error) if error.is_not_found() => Self::create(io, dir),
            read => read,
        }
    }

    /// Reads the file in `dir`.
    pub(crate) fn read(io: &dyn Io, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let failed = |e| Error::io(format!("opening {}", path.display()), e);
        let file = io
            .open(&path, Create::Never, Caching::Buffered)
            .map_err(failed)?;
        let len = file.len().map_err(failed)?.min(64 << 10) as usize;
        let mut text = vec![0; len];
        file.read_at(&mut text, 0).map_err(failed)?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Whether a program must know a feature.
    pub(crate) fn requires(&self, feature: &str) -> bool {
        self.incompatible_features.iter().any(|one| one == feature)
    }

    /// Notes a feature, durably, before anything in the pool makes use of it.
    pub(crate) fn require(&mut self, feature: &str, io: &dyn Io, dir: &Path) -> Result<()> {
        if self.requires(feature) {
            return Ok(());
        }
        let mut next = self.clone();
        next.incompatible_features.push(feature.to_owned());
        next.write(io, dir)?;
        *self = next;
        Ok(())
    }

    fn parse(text: &str) -> Result<Self> {
        let pool: Self = toml::from_str(text)
            .map_err(|e| Error::new(ErrorKind::Corrupt, format!("pool.toml: {}", e.message())))?;
        let unknown = |feature: &String| ![ENCRYPTION, SUMS].contains(&feature.as_str());
        if pool.format_version != FORMAT_VERSION || pool.incompatible_features.iter().any(unknown) {
            let context = format!(
                "the pool has format version {} and features {:?}; this program knows version {FORMAT_VERSION}",
                pool.format_version, pool.incompatible_features
            );
            return Err(Error::new(ErrorKind::UnsupportedFormat, context));
        }
        Ok(pool)
    }

    fn create(io: &dyn Io, dir: &Path) -> Result<Self> {
        let listed = io.list(dir).map_err(|e| Error::io("listing the pool", e))?;
        if listed.iter().any(|entry| entry.name == "meta.redb") {
            let context = format!("{} holds a pool without pool.toml", dir.display());
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
        let mut id = [0; 16];
        io.random(&mut id);
        let pool = Self {
            id: uuid::Builder::from_random_bytes(id).into_uuid(),
            format_version: FORMAT_VERSION,
            incompatible_features: vec![SUMS.to_owned()],
        };
        pool.write(io, dir)?;
        Ok(pool)
    }

    fn write(&self, io: &dyn Io, dir: &Path) -> Result<()> {
        let text = toml::to_string(self)
            .map_err(|e| Error::new(ErrorKind::Io, format!("writing pool.toml: {e}")))?;
        let (new, path) = (dir.join("pool.toml.new"), dir.join(FILE_NAME));
        let replace = |file: Arc<dyn File>| {
            file.set_len(0)?;
            file.write_at(text.as_bytes(), 0)?;
            file.sync_data()?;
            io.rename(&new, &path)?;
            io.sync_dir(dir)
        };
        io.open(&new, Create::IfMissing, Caching::Buffered)
            .and_then(replace)
            .map_err(|e| Error::io("writing pool.toml", e))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{ENCRYPTION, PoolFile, SUMS};
    use crate::ErrorKind;
    use crate::disk::sim::SimIo;

    #[test]
    fn features_stay_and_unknown_ones_are_refused() {
        let (io, dir) = (SimIo::new(1), Path::new("/"));
        let mut pool = PoolFile::open(&io, dir).unwrap();
        assert_eq!(pool.incompatible_features, [SUMS]);
        pool.require(ENCRYPTION, &io, dir).unwrap();
        pool.require(ENCRYPTION, &io, dir).unwrap();
        let mut again = PoolFile::open(&io, dir).unwrap();
        assert_eq!(again.id, pool.id);
        assert_eq!(again.incompatible_features, [SUMS, ENCRYPTION]);
        again.require("of the future", &io, dir).unwrap();
        let refused = PoolFile::open(&io, dir).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::UnsupportedFormat);
    }
}
