//! The job as stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::catalogue::{Index, Key, Record};

/// Unfinished jobs in the order they were queued.
pub(super) const QUEUE: Index = Index("queue");
/// All jobs, the newest first.
pub const BY_CREATED: Index = Index("created");
/// Jobs of an object: object, whether finished, time.
pub const OF_OBJECT: Index = Index("object");
/// Finished jobs, the oldest first.
pub(super) const FINISHED: Index = Index("finished");

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for a worker.
    Queued,
    /// A worker has it; after a crash it is run again.
    Running,
    /// Finished well.
    Done,
    /// Finished with an error.
    Failed,
}

impl JobState {
    /// Whether no worker will touch it any more.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// A piece of asynchronous work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// Which handler runs it, such as `volume.create`.
    pub kind: String,
    /// Id of the object; jobs of one object run in order.
    pub object: String,
    /// Id of an object that the work reads: it must neither change nor go before the work is done.
    #[serde(default)]
    pub reads: Option<String>,
    /// Project of the object, if it has one.
    pub project: Option<String>,
    /// The request that queued it, if one did.
    #[serde(default)]
    pub request_id: Option<String>,
    /// What else the handler needs.
    pub args: Value,
    /// Where it is.
    pub state: JobState,
    /// Per cent done, as far as known.
    pub progress: u8,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// Microseconds since 1970.
    pub updated_us: u64,
    /// Why it failed.
    pub error: Option<String>,
}

impl Job {
    /// A job to be queued.
    pub fn new(kind: &str, object: &str, project: Option<&str>, args: Value, now_us: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            kind: kind.to_owned(),
            object: object.to_owned(),
            reads: None,
            project: project.map(str::to_owned),
            request_id: None,
            args,
            state: JobState::Queued,
            progress: 0,
            created_us: now_us,
            updated_us: now_us,
            error: None,
        }
    }

    /// The same job, which reads another object.
    #[must_use]
    pub fn reading(mut self, object: Uuid) -> Self {
        self.reads = Some(object.to_string());
        self
    }
}

impl Record for Job {
    const TABLE: &'static str = "jobs";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let finished = self.state.is_finished();
        let of_object = Key::new().text(&self.object).flag(finished);
        let (state_index, time) = if finished {
            (FINISHED, self.updated_us)
        } else {
            (QUEUE, self.created_us)
        };
        vec![
            (state_index, Key::new().number(time)),
            (BY_CREATED, Key::new().number_desc(self.created_us)),
            (OF_OBJECT, of_object.number(self.created_us)),
        ]
    }
}
