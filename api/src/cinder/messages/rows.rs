//! The message as stored, and how one comes to be.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fields::{Action, Detail, Resource};
use crate::catalogue::{self, Index, Key, Query, Record, View, Writer};
use crate::cinder::records::{BY_CREATED, BY_PROJECT, newest};
use crate::jobs::Job;
use crate::policy::Target;

/// Messages by when they go, the earliest first.
const BY_EXPIRY: Index = Index("expiry");
/// How long a message stays.
const LIFETIME_US: u64 = 30 * 24 * 60 * 60 * 1_000_000;
/// Messages removed at most with each that is added.
const PURGE_STEP: usize = 16;

/// What went wrong with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) project_id: String,
    pub(super) request_id: Option<String>,
    pub(super) resource_type: String,
    pub(super) resource_uuid: String,
    /// Code of an [`Action`].
    pub(super) action_id: String,
    /// Code of a [`Detail`].
    pub(super) detail_id: String,
    pub(super) level: String,
    pub(super) created_us: u64,
    pub(super) expires_us: u64,
}

impl Message {
    /// The event's name, such as `VOLUME_VOLUME_001_003`.
    pub(super) fn event_id(&self) -> String {
        format!(
            "VOLUME_{}_{}_{}",
            self.resource_type, self.action_id, self.detail_id
        )
    }

    /// The text for people.
    pub(super) fn text(&self) -> String {
        let action = Action::text_of(&self.action_id).unwrap_or("unknown action");
        let unknown = Detail::text_of(Detail::Unknown.code());
        let detail = Detail::text_of(&self.detail_id).or(unknown);
        format!("{action}:{}", detail.unwrap_or_default())
    }
}

impl Record for Message {
    const TABLE: &'static str = "messages";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let of_project = Key::new().text(&self.project_id);
        vec![
            (BY_CREATED, newest(Key::new(), self.created_us, self.id)),
            (BY_PROJECT, newest(of_project, self.created_us, self.id)),
            (BY_EXPIRY, Key::new().number(self.expires_us)),
        ]
    }
}

impl<'a> From<&'a Message> for Target<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            project_id: Some(&message.project_id),
            user_id: None,
        }
    }
}

/// A failure to tell of.
#[derive(Clone, Copy, Debug)]
pub(in crate::cinder) struct Failure {
    /// Kind of the object.
    pub(in crate::cinder) resource: Resource,
    /// What was being done.
    pub(in crate::cinder) action: Action,
    /// What went wrong.
    pub(in crate::cinder) detail: Detail,
}

/// Writes the message of a job that failed; jobs that belong to no project have nobody to tell.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn record(
    writer: &Writer,
    job: &Job,
    failure: Failure,
    now_us: u64,
) -> catalogue::Result<()> {
    record_of(writer, job, &job.object, failure, now_us)
}

/// As [`record`], about another object than the job's own.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn record_of(
    writer: &Writer,
    job: &Job,
    object: &str,
    failure: Failure,
    now_us: u64,
) -> catalogue::Result<()> {
    let Some(project) = &job.project else {
        return Ok(());
    };
    purge(writer, now_us)?;
    writer.insert(&Message {
        id: Uuid::new_v4(),
        project_id: project.clone(),
        request_id: job.request_id.clone(),
        resource_type: failure.resource.name().to_owned(),
        resource_uuid: object.to_owned(),
        action_id: failure.action.code().to_owned(),
        detail_id: failure.detail.code().to_owned(),
        level: "ERROR".to_owned(),
        created_us: now_us,
        expires_us: now_us.saturating_add(LIFETIME_US),
    })
}

/// Removes some of the messages whose time is over.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn purge(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    let oldest = Query::by(BY_EXPIRY, Key::new()).limit(PURGE_STEP);
    for message in writer.list::<Message>(&oldest)? {
        if message.expires_us > now_us {
            break;
        }
        writer.delete::<Message>(&message.id)?;
    }
    Ok(())
}
