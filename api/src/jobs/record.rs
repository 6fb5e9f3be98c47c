//! The job as stored.

use serde::{Deserialize, Deserializer, Serialize};
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
    /// Ids of further objects that the work changes, as if it were a job of each.
    #[serde(default)]
    pub owns: Vec<String>,
    /// Ids of objects that the work reads: they must neither change nor go before it is done.
    #[serde(default, deserialize_with = "one_or_many")]
    pub reads: Vec<String>,
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
            owns: Vec::new(),
            reads: Vec::new(),
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
        self.reads.push(object.to_string());
        self
    }

    /// The same job, which changes another object too.
    #[must_use]
    pub fn owning(mut self, object: Uuid) -> Self {
        self.owns.push(object.to_string());
        self
    }

    /// All objects that nobody else may touch while the job runs.
    pub(super) fn owned(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.object).chain(&self.owns)
    }
}

/// Jobs once read one object at most, and said `null` for none.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Many(Vec<String>),
        One(Option<String>),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Many(many) => many,
        Stored::One(one) => one.into_iter().collect(),
    })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Job;

    #[test]
    fn jobs_that_read_one_object_or_none_are_still_understood() {
        let job = Job::new("volume.create", "a", None, json!(null), 1);
        for (stored, reads) in [
            (json!(null), Vec::new()),
            (json!("b"), vec!["b"]),
            (json!(["b", "c"]), vec!["b", "c"]),
        ] {
            let mut value = json!(job);
            value["reads"] = stored;
            value.as_object_mut().unwrap().remove("owns");
            let read: Job = serde_json::from_value(value).unwrap();
            assert_eq!(read.reads, reads);
            assert!(read.owns.is_empty());
        }
    }
}
