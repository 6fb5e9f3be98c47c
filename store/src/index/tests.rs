//! The index on real files.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use super::{
    ChangeSink, CheckpointRow, ContainerRow, DomainRow, ForwardRow, Index, IndexRead, LayerId,
    LayerRow, LayerState, Location, MetaFiles, Run, SnapshotRow, VolumeRow,
};
use crate::addr::{Address, ContainerId};
use crate::chunk::DomainKey;
use crate::disk::{Caching, Create, File, Io, RealIo};
use crate::pack::LocalPlace;
use crate::{DomainId, ErrorKind, Packing, Result, SnapshotId, VolumeId};

const CACHE_BYTES: u64 = 1 << 20;

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    fn file(&self) -> Arc<dyn File> {
        let path = self.dir.path().join("meta.redb");
        RealIo
            .open(&path, Create::IfMissing, Caching::Buffered)
            .unwrap()
    }

    fn open(&self) -> Result<Index> {
        let path = self.dir.path().join("meta.redb");
        let files = MetaFiles::open(&RealIo, &path, true).unwrap();
        Index::open(files, CACHE_BYTES, Arc::new(|| false))
    }
}

fn data(container: u64, slot: u32) -> Address {
    Address::new(ContainerId(container), slot)
}

fn run_with(first: Address) -> Run {
    let mut run = Run::holes();
    run.set(0, first);
    run
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

#[test]
fn rows_survive_reopening() {
    let fixture = Fixture::new();
    let volume = VolumeRow {
        head: LayerId(2),
        size_bytes: 1 << 30,
        domain: DomainId(uuid(9)),
        packing: Packing::Background,
    };
    let snapshot = SnapshotRow {
        layer: LayerId(1),
        volume: VolumeId(uuid(1)),
        size_bytes: 1 << 30,
        created_us: 5,
    };
    let container = ContainerRow {
        location: Location::Local(LocalPlace {
            pack: 1,
            offset: 4096,
            len: 9000,
        }),
        slots: 1024,
        live: 1024,
        plain_bytes: 4 << 20,
        domain: DomainId(uuid(9)),
        tight: false,
    };
    let layer = LayerRow {
        parent: Some(LayerId(1)),
        state: LayerState::Open,
        domain: DomainId(uuid(9)),
        delta_chunks: 3,
    };
    let checkpoint = CheckpointRow {
        applied_sequence: 77,
        ..CheckpointRow::default()
    };
    {
        let index = fixture.open().unwrap();
        assert_eq!(index.read().unwrap().checkpoint().unwrap(), None);
        let writer = index.write().unwrap();
        writer.put_volume(VolumeId(uuid(1)), &volume).unwrap();
        writer.put_snapshot(SnapshotId(uuid(3)), &snapshot).unwrap();
        writer.put_layer(LayerId(2), &layer).unwrap();
        writer.put_container(ContainerId(40), &container).unwrap();
        writer
            .put_forward(ContainerId(41), &ForwardRow::holes())
            .unwrap();
        writer.put_checkpoint(&checkpoint).unwrap();
        for (id, row) in domains() {
            writer.put_domain(id, &row).unwrap();
        }
        assert_eq!(writer.volumes().unwrap().len(), 1);
        assert!(index.read().unwrap().volumes().unwrap().is_empty());
        writer.commit().unwrap();
    }
    let index = fixture.open().unwrap();
    let reader = index.read().unwrap();
    assert_eq!(reader.volumes().unwrap(), [(VolumeId(uuid(1)), volume)]);
    assert_eq!(
        reader.snapshots().unwrap(),
        [(SnapshotId(uuid(3)), snapshot)]
    );
    assert_eq!(reader.layers().unwrap(), [(LayerId(2), layer)]);
    assert_eq!(reader.containers().unwrap(), [(ContainerId(40), container)]);
    assert_eq!(reader.forwards().unwrap(), [ContainerId(41)]);
    assert_eq!(
        reader.forward(ContainerId(41)).unwrap(),
        Some(ForwardRow::holes())
    );
    assert_eq!(reader.checkpoint().unwrap(), Some(checkpoint));
    assert_eq!(reader.domains().unwrap(), domains());
    let writer = index.write().unwrap();
    writer.delete_domain(DomainId(uuid(8))).unwrap();
    assert_eq!(writer.domains().unwrap(), domains()[1..]);
}

fn domains() -> [(DomainId, DomainRow); 2] {
    let plain = DomainRow::Plain(DomainKey::new([7; 32]));
    let sealed = DomainRow::Sealed([6; 16]);
    [(DomainId(uuid(8)), sealed), (DomainId(uuid(9)), plain)]
}

#[test]
fn runs_are_found_by_layer_and_number() {
    let fixture = Fixture::new();
    let index = fixture.open().unwrap();
    let writer = index.write().unwrap();
    for i in 0..10 {
        let row = run_with(data(5, i));
        writer.put_run(LayerId(1), i * 3, &row).unwrap();
    }
    writer
        .put_run(LayerId(2), 3, &run_with(data(6, 0)))
        .unwrap();
    writer
        .put_run(LayerId(2), u32::MAX, &run_with(data(6, 1)))
        .unwrap();
    writer.commit().unwrap();

    let reader = index.read().unwrap();
    let chain = [LayerId(2), LayerId(1)];
    let owner = |run| {
        reader
            .find_run(&chain, run)
            .unwrap()
            .map(|(layer, row)| (layer, row.get(0)))
    };
    assert_eq!(owner(3), Some((LayerId(2), data(6, 0))));
    assert_eq!(owner(6), Some((LayerId(1), data(5, 2))));
    assert_eq!(owner(7), None);
    assert_eq!(reader.run(LayerId(2), 6).unwrap(), None);
    let numbers = |from, to, limit| {
        reader
            .layer_run_numbers(LayerId(1), from, to, limit)
            .unwrap()
    };
    assert_eq!(numbers(4, 12, 9), [6, 9]);
    assert_eq!(numbers(4, 1000, 3), [6, 9, 12]);
    assert!(numbers(9, 4, 3).is_empty());
    let runs = reader.layer_runs(LayerId(2), 0, 10).unwrap();
    assert_eq!(
        runs.iter().map(|(run, _)| *run).collect::<Vec<_>>(),
        [3, u32::MAX]
    );
    assert_eq!(reader.layer_runs(LayerId(1), 20, 10).unwrap().len(), 3);
}

#[test]
fn removal_goes_in_steps_and_dropping_a_writer_undoes() {
    let fixture = Fixture::new();
    let index = fixture.open().unwrap();
    let writer = index.write().unwrap();
    for run in 0..10 {
        writer.put_run(LayerId(1), run, &Run::holes()).unwrap();
    }
    writer.put_run(LayerId(2), 0, &Run::holes()).unwrap();
    writer.commit().unwrap();

    let writer = index.write().unwrap();
    assert_eq!(writer.delete_layer_runs(LayerId(1), 0, 6).unwrap(), 6);
    drop(writer);
    let left = |layer| {
        let reader = index.read().unwrap();
        reader.layer_runs(LayerId(layer), 0, 100).unwrap().len()
    };
    assert_eq!(left(1), 10);
    let writer = index.write().unwrap();
    assert_eq!(writer.delete_layer_runs(LayerId(1), 0, 6).unwrap(), 6);
    writer.delete_run(LayerId(1), 9).unwrap();
    assert_eq!(writer.delete_layer_runs(LayerId(1), 0, 6).unwrap(), 3);
    writer.commit().unwrap();
    assert_eq!((left(1), left(2)), (0, 1));
}

#[test]
fn a_second_opener_is_told_busy() {
    let fixture = Fixture::new();
    let index = fixture.open().unwrap();
    assert_eq!(
        fixture.open().err().map(|error| error.kind()),
        Some(ErrorKind::Busy)
    );
    drop(index);
    fixture.open().unwrap();
}

#[test]
fn foreign_files_are_refused_and_unborn_ones_made_again() {
    let fixture = Fixture::new();
    fixture.file().write_at(&[b'x'; 9000], 0).unwrap();
    assert!(fixture.open().is_err());
    fixture.file().set_len(0).unwrap();
    fixture.file().set_len(1 << 20).unwrap();
    fixture.open().unwrap();
    fixture.open().unwrap();
}

/// Tells when it is told of a commit, and waits to be let go on.
struct Slow {
    told: mpsc::Sender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl ChangeSink for Slow {
    fn begin(&self) {}
    fn add(&self, _: &[u8]) {}
    fn commit(&self, _: &[u8]) {
        self.told.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
    }
}

#[test]
fn nobody_writes_or_follows_before_a_commit_is_told() {
    const MOMENT: Duration = Duration::from_millis(100);
    let fixture = Fixture::new();
    let index = fixture.open().unwrap();
    let (told, was_told) = mpsc::channel();
    let (go, go_on) = mpsc::channel();
    let go_on = Mutex::new(go_on);
    index.follow(Arc::new(Slow { told, go_on })).unwrap();
    let index = &index;
    thread::scope(|scope| {
        scope.spawn(|| index.write().unwrap().commit().unwrap());
        was_told.recv().unwrap();
        let (began, has_begun) = mpsc::channel();
        let following = began.clone();
        scope.spawn(move || {
            drop(index.write().unwrap());
            began.send(()).unwrap();
        });
        scope.spawn(move || {
            let (told, go_on) = (mpsc::channel().0, Mutex::new(mpsc::channel().1));
            index.follow(Arc::new(Slow { told, go_on })).unwrap();
            following.send(()).unwrap();
        });
        assert!(has_begun.recv_timeout(MOMENT).is_err());
        go.send(()).unwrap();
        has_begun.recv().unwrap();
        has_begun.recv().unwrap();
    });
}
