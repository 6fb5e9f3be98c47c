//! The objects of Image as the catalogue keeps them, and who finds them.
//!
//! An image names its bytes with [`ImageData`]: a volume of the store that no row of Block Storage
//! names. It does so exactly while they are complete; what is still arriving is named by an
//! [`Upload`], so that a start after a crash knows what to throw away.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::Caller;
use crate::catalogue::{self, Index, Key, Query, Record, View};
use crate::fault::Fault;

/// All images, the newest first.
pub(super) const BY_CREATED: Index = Index("created");
/// Members of an image, the oldest first.
pub(super) const BY_IMAGE: Index = Index("image");

/// Bytes that the store's volumes of images are multiples of: its chunks.
const GRAIN_BYTES: u64 = 4096;

/// Where an image is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// There is a record and no data.
    Queued,
    /// Data is arriving, or being copied from a volume.
    Saving,
    /// Data is arriving, or has arrived, that an import is to take.
    Uploading,
    /// An import takes the data.
    Importing,
    /// It can be used.
    Active,
    /// Its data is for administrators only.
    Deactivated,
    /// Its data could not be had.
    Killed,
}

impl Status {
    /// What clients call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Saving => "saving",
            Self::Uploading => "uploading",
            Self::Importing => "importing",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Killed => "killed",
        }
    }
}

/// Who sees an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Visibility {
    /// Everybody, in their lists too.
    Public,
    /// Everybody who knows its id.
    Community,
    /// Its owner and its members.
    Shared,
    /// Its owner.
    Private,
}

impl Visibility {
    /// All of them, in the order of the schema.
    pub(super) const ALL: [Self; 4] = [Self::Community, Self::Public, Self::Private, Self::Shared];

    /// What clients call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Community => "community",
            Self::Shared => "shared",
            Self::Private => "private",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// Where the bytes of an image are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageData {
    /// Name of the backend, see [`crate::server::Backends`].
    pub(crate) backend: String,
    /// The volume of that backend's pool.
    pub(crate) volume: Uuid,
    /// Length of the image; the volume's is rounded up and ends in zeroes.
    pub(crate) size_bytes: u64,
}

impl ImageData {
    /// A place that nobody has used yet. The id follows from another's, as those of all objects do
    /// that the service made for itself: such are not offered to be managed.
    pub(crate) fn fresh(image: Uuid, backend: &str, size_bytes: u64) -> Self {
        Self {
            backend: backend.to_owned(),
            volume: Uuid::new_v5(&image, Uuid::new_v4().as_bytes()),
            size_bytes,
        }
    }

    /// The length of the store's volume.
    pub(crate) fn volume_bytes(&self) -> u64 {
        rounded(self.size_bytes)
    }
}

/// The length that the store's volume for so many bytes has.
pub(super) fn rounded(size_bytes: u64) -> u64 {
    size_bytes
        .div_ceil(GRAIN_BYTES)
        .max(1)
        .saturating_mul(GRAIN_BYTES)
}

/// What the bytes of an image add up to, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hashes {
    /// MD5.
    pub(crate) checksum: String,
    /// SHA-512.
    pub(crate) sha512: String,
}

/// Data that an import is to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// Where it is.
    pub(crate) data: ImageData,
    /// What it adds up to.
    pub(crate) hashes: Hashes,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// Id.
    pub(crate) id: Uuid,
    /// The project it belongs to; one that belongs to none is everybody's to see.
    pub(crate) owner: Option<String>,
    /// Name.
    pub(crate) name: Option<String>,
    /// Where it is in its life.
    pub(crate) status: Status,
    /// Who sees it.
    pub(crate) visibility: Visibility,
    /// Format of the disk, such as `raw`.
    pub(crate) disk_format: Option<String>,
    /// Format of what is around the disk, such as `bare`.
    pub(crate) container_format: Option<String>,
    /// Least size of a disk for it, GiB.
    pub(crate) min_disk: i64,
    /// Least memory for it, MiB.
    pub(crate) min_ram: i64,
    /// Whether it cannot be deleted.
    pub(crate) protected: bool,
    /// Whether lists leave it out unless asked.
    pub(crate) hidden: bool,
    /// What its bytes add up to, once known.
    pub(crate) hashes: Option<Hashes>,
    /// Length in bytes.
    pub(crate) size_bytes: Option<u64>,
    /// Length in bytes of the disk that the format holds.
    pub(crate) virtual_size_bytes: Option<u64>,
    /// Custom properties.
    pub(crate) properties: BTreeMap<String, String>,
    /// Tags.
    pub(crate) tags: BTreeSet<String>,
    /// The bytes, once they are complete.
    pub(crate) data: Option<ImageData>,
    /// Bytes that wait for an import.
    pub(crate) staged: Option<Staged>,
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
    /// Microseconds since 1970.
    pub(crate) updated_us: u64,
}

impl Image {
    /// A record without data.
    pub(crate) fn new(owner: Option<&str>, now_us: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            owner: owner.map(str::to_owned),
            name: None,
            status: Status::Queued,
            visibility: Visibility::Shared,
            disk_format: None,
            container_format: None,
            min_disk: 0,
            min_ram: 0,
            protected: false,
            hidden: false,
            hashes: None,
            size_bytes: None,
            virtual_size_bytes: None,
            properties: BTreeMap::new(),
            tags: BTreeSet::new(),
            data: None,
            staged: None,
            created_us: now_us,
            updated_us: now_us,
        }
    }

    /// Back to a record without data; what its volumes held is the caller's to discard.
    pub(super) fn reset(&mut self, now_us: u64) {
        self.status = Status::Queued;
        self.size_bytes = None;
        self.virtual_size_bytes = None;
        self.hashes = None;
        self.staged = None;
        self.data = None;
        self.updated_us = now_us;
    }
}

impl Record for Image {
    const TABLE: &'static str = "images";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let newest = Key::new().number_desc(self.created_us).uuid_desc(self.id);
        vec![(BY_CREATED, newest)]
    }
}

/// Whether a member has taken an image into its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MemberStatus {
    Pending,
    Accepted,
    Rejected,
}

impl MemberStatus {
    pub(super) const ALL: [Self; 3] = [Self::Pending, Self::Accepted, Self::Rejected];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// A project that an image is shared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    /// `image/project`; see [`Member::key`].
    pub(super) key: String,
    pub(super) image: Uuid,
    pub(super) project: String,
    pub(super) status: MemberStatus,
    pub(super) created_us: u64,
    pub(super) updated_us: u64,
}

impl Member {
    /// The id of a project's membership. Ids of images have no slash, so no two share one.
    pub(super) fn key(image: Uuid, project: &str) -> String {
        format!("{image}/{project}")
    }
}

impl Record for Member {
    const TABLE: &'static str = "image_members";
    type Id = str;

    fn id(&self) -> &str {
        &self.key
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        vec![(
            BY_IMAGE,
            Key::new().uuid(self.image).number(self.created_us),
        )]
    }
}

/// Data that is arriving: its volume exists in the store, or is about to. The record goes in the
/// transaction that makes the image active, or that queues the job which removes the volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Upload {
    /// The store's volume.
    pub(super) volume: Uuid,
    pub(super) backend: String,
    pub(super) image: Uuid,
}

impl Record for Upload {
    const TABLE: &'static str = "image_uploads";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.volume
    }
}

/// What a caller without rights to it is told of an image.
pub(crate) fn no_image(id: &str) -> Fault {
    Fault::not_found(format!("No image found with ID {id}"))
}

/// The membership of a project.
pub(super) fn member_of(
    view: &impl View,
    image: Uuid,
    project: &str,
) -> catalogue::Result<Option<Member>> {
    view.get::<Member>(&Member::key(image, project))
}

/// All members of an image, the oldest first.
pub(super) fn members_of(view: &impl View, image: Uuid) -> catalogue::Result<Vec<Member>> {
    view.list(&Query::by(BY_IMAGE, Key::new().uuid(image)))
}

/// Whether a caller may know of an image at all.
pub(super) fn sees(view: &impl View, caller: &Caller, image: &Image) -> catalogue::Result<bool> {
    if caller.is_identity_admin() {
        return Ok(true);
    }
    if !caller.has_role("reader") {
        return Ok(false);
    }
    let open = matches!(image.visibility, Visibility::Public | Visibility::Community);
    if open || image.owner.is_none() {
        return Ok(true);
    }
    let Some(project) = caller.project_id() else {
        return Ok(false);
    };
    if image.owner.as_deref() == Some(project) {
        return Ok(true);
    }
    let is_shared = image.visibility == Visibility::Shared;
    Ok(is_shared && member_of(view, image.id, project)?.is_some())
}

/// The image, if the caller may know of it; its status is not looked at.
///
/// # Errors
/// 404.
pub(crate) fn find_visible(view: &impl View, caller: &Caller, id: &str) -> Result<Image, Fault> {
    let parsed = parse_id(id).ok_or_else(|| no_image(id))?;
    let image = view.get::<Image>(&parsed)?.ok_or_else(|| no_image(id))?;
    match sees(view, caller, &image)? {
        true => Ok(image),
        false => Err(no_image(id)),
    }
}

/// An id in its one canonical form: other spellings name nothing.
pub(super) fn parse_id(text: &str) -> Option<Uuid> {
    let parsed = Uuid::parse_str(text).ok()?;
    let canonical = parsed.hyphenated().to_string();
    canonical.eq_ignore_ascii_case(text).then_some(parsed)
}
