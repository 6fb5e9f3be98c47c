//! Jobs: order, failure, resumption.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    BY_CREATED, Handler, Job, JobError, JobState, Registry, Runner, enqueue, run_pending,
    unfinished_of,
};
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::server::Services;
use crate::testing::Cloud;

/// Notes each call, and does what the job's arguments say.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Handler for Notes {
    fn run(&self, _services: &Services, job: &Job) -> Result<(), JobError> {
        self.add(format!("run {}", job.args["name"].as_str().unwrap()));
        match job.args["end"].as_str() {
            Some("fail") => Err(JobError("told to fail".to_owned())),
            Some("panic") => panic!("told to panic"),
            _ => Ok(()),
        }
    }

    fn finish(
        &self,
        _writer: &Writer,
        job: &Job,
        result: Result<(), &JobError>,
        _now_us: u64,
    ) -> catalogue::Result<()> {
        let name = job.args["name"].as_str().unwrap();
        self.add(format!("finish {name} {}", result.is_ok()));
        Ok(())
    }
}

fn registry(notes: &Notes) -> Registry {
    let mut registry = Registry::default();
    registry.add("test.note", notes.clone());
    registry
}

fn queue(services: &Services, object: &str, args: Value, now_us: u64) -> Uuid {
    queue_job(services, Job::new("test.note", object, None, args, now_us))
}

fn queue_job(services: &Services, job: Job) -> Uuid {
    let id = job.id;
    services
        .catalogue()
        .write(|writer| enqueue(writer, job))
        .unwrap();
    id
}

fn job(services: &Services, id: Uuid) -> Job {
    let found = services.catalogue().read(|reader| reader.get::<Job>(&id));
    found.unwrap().unwrap()
}

#[test]
fn failures_and_panics_close_the_job_with_a_reason() {
    let cloud = Cloud::new();
    let notes = Notes::default();
    let failing = queue(&cloud.services, "a", json!({"name": "f", "end": "fail"}), 1);
    let panicking = queue(
        &cloud.services,
        "b",
        json!({"name": "p", "end": "panic"}),
        2,
    );
    run_pending(&cloud.services, &registry(&notes)).unwrap();
    let failed = job(&cloud.services, failing);
    assert_eq!(
        (failed.state, failed.error.as_deref()),
        (JobState::Failed, Some("told to fail"))
    );
    assert_eq!(job(&cloud.services, panicking).state, JobState::Failed);
    assert_eq!(
        notes.all(),
        ["run f", "finish f false", "run p", "finish p false"]
    );
    let newest = Query::by(BY_CREATED, Key::new()).limit(1);
    let newest = cloud
        .services
        .catalogue()
        .read(|reader| reader.first::<Job>(&newest));
    assert_eq!(newest.unwrap().unwrap().id, panicking);
}

#[test]
fn a_kind_without_a_handler_fails() {
    let cloud = Cloud::new();
    let id = queue(&cloud.services, "a", json!({"name": "x"}), 1);
    run_pending(&cloud.services, &Registry::default()).unwrap();
    assert_eq!(job(&cloud.services, id).state, JobState::Failed);
}

#[test]
fn a_job_cut_short_by_a_crash_is_run_again() {
    let cloud = Cloud::new();
    let notes = Notes::default();
    let id = queue(&cloud.services, "a", json!({"name": "x"}), 1);
    let running = |job: &mut Job| job.state = JobState::Running;
    let catalogue = cloud.services.catalogue();
    catalogue
        .write(|writer| writer.update::<Job>(&id, running))
        .unwrap();
    let unfinished = catalogue.read(|reader| unfinished_of(reader, "a")).unwrap();
    assert_eq!(unfinished.len(), 1);
    run_pending(&cloud.services, &registry(&notes)).unwrap();
    assert_eq!(notes.all(), ["run x", "finish x true"]);
    assert_eq!(job(&cloud.services, id).progress, 100);
    let unfinished = catalogue.read(|reader| unfinished_of(reader, "a")).unwrap();
    assert!(unfinished.is_empty());
}

/// A handler that holds jobs named `slow` until they may end.
#[derive(Clone, Default)]
struct Gate {
    notes: Notes,
    open: Arc<(Mutex<bool>, std::sync::Condvar)>,
}

impl Handler for Gate {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        self.notes.run(services, job)?;
        if job.args["name"] == "slow" {
            let (open, changed) = &*self.open;
            let limit = Duration::from_secs(30);
            let closed = open.lock().unwrap();
            drop(changed.wait_timeout_while(closed, limit, |open| !*open));
        }
        Ok(())
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Result<(), &JobError>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        self.notes.finish(writer, job, result, now_us)
    }
}

#[test]
fn what_a_job_reads_waits_for_it_and_other_readers_do_not() {
    let cloud = Cloud::new();
    let gate = Gate::default();
    let source = Uuid::new_v4();
    let reader = |object: &str, name: &str| {
        let args = json!({"name": name});
        Job::new("test.note", object, None, args, 7).reading(source)
    };
    queue_job(&cloud.services, reader("clone-1", "slow"));
    queue(
        &cloud.services,
        &source.to_string(),
        json!({"name": "deletion"}),
        7,
    );
    queue_job(&cloud.services, reader("clone-2", "late"));
    queue(&cloud.services, "other", json!({"name": "other"}), 7);
    let mut registry = Registry::default();
    registry.add("test.note", gate.clone());
    let runner = Runner::start(&cloud.services, &registry, 4).unwrap();
    let wait_for = |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while gate.notes.all().len() < count {
            assert!(Instant::now() < deadline, "{:?}", gate.notes.all());
            std::thread::yield_now();
        }
    };
    // The first clone runs and the other object is done: the rest waits.
    wait_for(3);
    let begun = gate.notes.all();
    let ran = |notes: &[String], name: &str| notes.contains(&format!("run {name}"));
    assert!(ran(&begun, "slow") && ran(&begun, "other"), "{begun:?}");
    *gate.open.0.lock().unwrap() = true;
    gate.open.1.notify_all();
    wait_for(8);
    runner.stop();
    let notes = gate.notes.all();
    let at = |note: &str| notes.iter().position(|one| one == note).unwrap();
    assert!(at("finish slow true") < at("run deletion"), "{notes:?}");
    assert!(at("finish deletion true") < at("run late"), "{notes:?}");
}

#[test]
fn readers_of_one_object_run_side_by_side() {
    let cloud = Cloud::new();
    let gate = Gate::default();
    let source = Uuid::new_v4();
    for (object, name) in [("a", "slow"), ("b", "quick")] {
        let job = Job::new("test.note", object, None, json!({"name": name}), 7);
        queue_job(&cloud.services, job.reading(source));
    }
    let mut registry = Registry::default();
    registry.add("test.note", gate.clone());
    let runner = Runner::start(&cloud.services, &registry, 2).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !gate.notes.all().contains(&"finish quick true".to_owned()) {
        assert!(Instant::now() < deadline, "{:?}", gate.notes.all());
        std::thread::yield_now();
    }
    *gate.open.0.lock().unwrap() = true;
    gate.open.1.notify_all();
    runner.stop();
}

#[test]
fn workers_keep_the_order_of_an_objects_jobs() {
    let cloud = Cloud::new();
    let notes = Notes::default();
    let runner = Runner::start(&cloud.services, &registry(&notes), 4).unwrap();
    for number in 0..20 {
        let name = format!("{}{number:02}", ["a", "b"][number % 2]);
        let object = name[..1].to_owned();
        queue(
            &cloud.services,
            &object,
            json!({"name": name}),
            number as u64,
        );
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while notes.all().len() < 40 {
        assert!(Instant::now() < deadline, "{:?}", notes.all());
        std::thread::yield_now();
    }
    runner.stop();
    for object in ["a", "b"] {
        let own: Vec<String> = notes
            .all()
            .into_iter()
            .filter(|note| note.contains(object))
            .collect();
        let runs: Vec<&String> = own.iter().filter(|note| note.starts_with("run")).collect();
        assert!(runs.is_sorted(), "{own:?}");
        // Each is closed before the next begins.
        assert!(
            own.chunks(2).all(|pair| pair[1].starts_with("finish")),
            "{own:?}"
        );
    }
}

/// Notes that it runs, and runs until it may end or the daemon stops.
#[derive(Clone, Default)]
struct Long {
    notes: Notes,
    may_end: Arc<std::sync::atomic::AtomicBool>,
}

impl Handler for Long {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        self.notes.add(format!("long {}", job.object));
        let progress = super::Progress::new(services, job);
        while !self.may_end.load(std::sync::atomic::Ordering::SeqCst) {
            progress.report(1, 2)?;
            std::thread::yield_now();
        }
        Ok(())
    }

    fn finish(
        &self,
        _writer: &Writer,
        _job: &Job,
        _result: Result<(), &JobError>,
        _now_us: u64,
    ) -> catalogue::Result<()> {
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

#[test]
fn long_jobs_leave_workers_to_others_and_stop_with_the_daemon() {
    let cloud = Cloud::new();
    let (notes, long) = (Notes::default(), Long::default());
    let mut registry = registry(&notes);
    registry.add("test.long", long.clone());
    let ids: Vec<Uuid> = ["a", "b", "c"]
        .map(|object| {
            queue_job(
                &cloud.services,
                Job::new("test.long", object, None, json!({}), 1),
            )
        })
        .to_vec();
    queue(&cloud.services, "d", json!({"name": "short"}), 2);
    let runner = Runner::start(&cloud.services, &registry, 4).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while (notes.all().len(), long.notes.all().len()) != (2, 2) {
        assert!(
            Instant::now() < deadline,
            "{:?} {:?}",
            notes.all(),
            long.notes.all()
        );
        std::thread::yield_now();
    }
    assert_eq!(long.notes.all().len(), 2, "the third waits");
    runner.stop();
    for id in &ids {
        assert!(!job(&cloud.services, *id).state.is_finished());
    }
    long.may_end
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let runner = Runner::start(&cloud.services, &registry, 4).unwrap();
    while !ids
        .iter()
        .all(|id| job(&cloud.services, *id).state == JobState::Done)
    {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    runner.stop();
}
