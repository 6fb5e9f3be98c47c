//! Volumes.

use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use uuid::Uuid;

use super::{Client, Error, ErrorKind, Result, Service};
use crate::types::cinder::{
    Extend, ExtendBody, Link, Volume, VolumeBody, VolumeCreate, VolumeCreateBody, VolumeUpdate,
    VolumeUpdateBody, Volumes,
};

/// Most pages followed; a server that hands out more is going in circles.
const PAGES_MAX: usize = 10_000;

/// All but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Whose objects are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Those of the token's project.
    #[default]
    Project,
    /// Those of all projects; for admins.
    All,
}

impl Reach {
    /// The query that asks for it.
    pub(super) fn query(self) -> &'static str {
        match self {
            Self::Project => "",
            Self::All => "&all_tenants=1",
        }
    }
}

/// Whether a status is on its way to another one by itself.
pub fn is_passing(status: &str) -> bool {
    matches!(
        status,
        "creating"
            | "deleting"
            | "extending"
            | "downloading"
            | "uploading"
            | "retyping"
            | "reverting"
            | "backing-up"
            | "restoring-backup"
    )
}

pub(super) fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Where a name or id can be looked up directly: only ids have this form.
pub(super) fn as_id(text: &str) -> Option<String> {
    Uuid::try_parse(text).ok().map(|id| id.to_string())
}

/// The one of `found`, or an error that lists the ids.
pub(super) fn only<T>(
    what: &str,
    name: &str,
    mut found: Vec<T>,
    id: impl Fn(&T) -> &str,
) -> Result<T> {
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().map(id).collect();
        let text = format!("several {what}s are named {name}: {}", ids.join(", "));
        return Err(Error::new(ErrorKind::Ambiguous, text));
    }
    found
        .pop()
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no {what} {name}")))
}

/// Gathers all pages; `page` fetches the one after a marker and says whether there are more.
pub(super) fn all_pages<T>(
    id: impl Fn(&T) -> &str,
    mut page: impl FnMut(&str) -> Result<(Vec<T>, bool)>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let mut marker = String::new();
    for _ in 0..PAGES_MAX {
        let (items, more) = page(&marker)?;
        let last = items.last().map(|item| format!("&marker={}", id(item)));
        all.extend(items);
        match last {
            Some(next) if more && next != marker => marker = next,
            _ => return Ok(all),
        }
    }
    Err(Error::new(ErrorKind::Protocol, "the list does not end"))
}

pub(super) fn has_next(links: Option<&Vec<Link>>) -> bool {
    links.is_some_and(|links| links.iter().any(|link| link.rel == "next"))
}

impl Client {
    /// All volumes in reach, in detail, the newest first.
    ///
    /// # Errors
    /// Any kind.
    pub fn volumes(&self, reach: Reach) -> Result<Vec<Volume>> {
        self.volumes_where(reach, "")
    }

    fn volumes_where(&self, reach: Reach, filter: &str) -> Result<Vec<Volume>> {
        let reach = reach.query();
        all_pages(
            |volume: &Volume| &volume.id,
            |marker| {
                let path = format!("volumes/detail?limit=1000{reach}{filter}{marker}");
                let page: Volumes = self.get(Service::BlockStorage, &path)?;
                Ok((page.volumes, has_next(page.volumes_links.as_ref())))
            },
        )
    }

    /// A volume by id.
    ///
    /// # Errors
    /// `NotFound` and any other kind.
    pub fn volume(&self, id: &str) -> Result<Volume> {
        let path = format!("volumes/{}", escape(id));
        Ok(self.get::<VolumeBody>(Service::BlockStorage, &path)?.volume)
    }

    /// A volume by id or name. An id wins; a name of several volumes is `Ambiguous`.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous` and any other kind.
    pub fn find_volume(&self, name_or_id: &str) -> Result<Volume> {
        if let Some(id) = as_id(name_or_id) {
            match self.volume(&id) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => return done,
            }
        }
        let filter = format!("&name={}", escape(name_or_id));
        let mut found = self.volumes_where(Reach::Project, &filter)?;
        found.retain(|volume| volume.name.as_deref() == Some(name_or_id));
        only("volume", name_or_id, found, |volume| &volume.id)
    }

    /// Creates a volume; it may still be `creating` when this returns.
    ///
    /// # Errors
    /// Any kind.
    pub fn create_volume(&self, volume: VolumeCreate) -> Result<Volume> {
        let body = VolumeCreateBody { volume };
        let body: VolumeBody = self.post(Service::BlockStorage, "volumes", &body)?;
        Ok(body.volume)
    }

    /// Changes name, description or metadata.
    ///
    /// # Errors
    /// Any kind.
    pub fn update_volume(&self, id: &str, volume: VolumeUpdate) -> Result<Volume> {
        let path = format!("volumes/{}", escape(id));
        let body = VolumeUpdateBody { volume };
        Ok(self
            .put::<VolumeBody>(Service::BlockStorage, &path, &body)?
            .volume)
    }

    /// Grows a volume to `size` GiB.
    ///
    /// # Errors
    /// Any kind.
    pub fn extend_volume(&self, id: &str, size: u64) -> Result<()> {
        let path = format!("volumes/{}/action", escape(id));
        let extend = Extend { new_size: size };
        self.act(Service::BlockStorage, &path, &ExtendBody { extend })
    }

    /// Marks a volume as holding something to start from.
    ///
    /// # Errors
    /// Any kind.
    pub fn set_bootable(&self, id: &str, bootable: bool) -> Result<()> {
        let path = format!("volumes/{}/action", escape(id));
        let body = json!({"os-set_bootable": {"bootable": bootable}});
        self.act(Service::BlockStorage, &path, &body)
    }

    /// Deletes a volume, with its snapshots if `cascade`.
    ///
    /// # Errors
    /// Any kind.
    pub fn delete_volume(&self, id: &str, cascade: bool) -> Result<()> {
        let query = if cascade { "?cascade=true" } else { "" };
        let path = format!("volumes/{}{query}", escape(id));
        self.delete(Service::BlockStorage, &path)
    }

    /// Waits until a volume's status rests, and returns the volume then.
    ///
    /// # Errors
    /// `NotFound` once a deletion has ended, `Conflict` after `timeout`, and any other kind.
    pub fn settle_volume(&self, id: &str, timeout: Duration) -> Result<Volume> {
        let of = format!("volume {id}");
        settle(&of, timeout, || self.volume(id), |volume| &volume.status)
    }
}

/// Asks for an object until its status rests.
pub(super) fn settle<T>(
    what: &str,
    timeout: Duration,
    mut ask: impl FnMut() -> Result<T>,
    status: impl Fn(&T) -> &str,
) -> Result<T> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(20);
    loop {
        let object = ask()?;
        if !is_passing(status(&object)) {
            return Ok(object);
        }
        if Instant::now() >= deadline {
            let seconds = timeout.as_secs();
            let text = format!("{what} is still {} after {seconds} s", status(&object));
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
