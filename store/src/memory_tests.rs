//! What a pool of 1 TiB takes of memory.
//!
//! The metadata of such a pool is made, 262,144 containers and two million runs, without the data that
//! it speaks of. Another process opens it and does what fills every cache: looks up places all over the
//! volume, knows fingerprints of all containers, and writes.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use uuid::Uuid;

use crate::addr::{Address, CHUNK_BYTES, CONTAINER_SLOTS, ContainerId};
use crate::chunk::Fingerprint;
use crate::chunk::compress::Codec;
use crate::disk::RealIo;
use crate::disk::sim::SplitMix64;
use crate::index::{ContainerRow, IndexRead, Location, RUN_CHUNKS, Run};
use crate::model::spec;
use crate::pack::LocalPlace;
use crate::pack::format::{Directory, Frame, Header};
use crate::pack::frames::FrameKey;
use crate::{DomainId, Durability, OpenOptions, Store, Volume, VolumeId};

const SIZE: u64 = 1 << 40;
const CONTAINERS: u64 = SIZE / CHUNK_BYTES as u64 / CONTAINER_SLOTS as u64;
const FIRST: u64 = 1 << 20;
/// Compressed to half.
const STORED: u32 = 2 << 20;
const VOLUME: VolumeId = VolumeId(Uuid::from_u128(1));
/// Names the folder of the pool to the process that opens it.
const POOL: &str = "CINDERBLOCK_MEMORY_POOL";
const WRITTEN: u64 = 1 << 30;

fn open(dir: &Path) -> Store {
    let options = OpenOptions {
        background: false,
        ..OpenOptions::default()
    };
    Store::open(Arc::new(RealIo::new()), dir, options).unwrap()
}

fn container(number: u64) -> ContainerRow {
    let per_file = 256;
    ContainerRow {
        location: Location::Local(LocalPlace {
            pack: 1 + number / per_file,
            offset: 4096 + number % per_file * u64::from(STORED),
            len: STORED,
        }),
        slots: CONTAINER_SLOTS as u16,
        live: CONTAINER_SLOTS as u16,
        plain_bytes: CONTAINER_SLOTS * CHUNK_BYTES as u32,
        domain: DomainId(Uuid::from_u128(0xd0)),
        tight: false,
    }
}

/// The maps of a full volume, in pieces of 4 to 64 chunks as deduplication leaves them.
fn run(rng: &mut SplitMix64) -> Run {
    let mut run = Run::holes();
    let mut at = 0;
    while at < RUN_CHUNKS {
        let pieces = 4 << rng.below(5);
        let count = pieces.min(RUN_CHUNKS - at);
        let container = ContainerId(FIRST + rng.below(CONTAINERS));
        let slot = rng.below(u64::from(CONTAINER_SLOTS) - count) as u32;
        let first = Address::new(container, slot);
        for index in 0..count {
            run.set((at + index) as usize, first.advance(index));
        }
        at += count;
    }
    run
}

fn make(dir: &Path) {
    let store = open(dir);
    store.create_volume(VOLUME, spec(SIZE)).unwrap();
    let engine = store.engine_for_tests();
    engine
        .checkpoint(&mut engine.maintenance.lock().unwrap())
        .unwrap();
    let (layer, _) = engine.index.read().unwrap().layers().unwrap()[0];
    let mut rng = SplitMix64::new(1);
    let numbers: Vec<u64> = (0..CONTAINERS).collect();
    for some in numbers.chunks(1 << 14) {
        let writer = engine.index.write().unwrap();
        for number in some {
            let row = container(*number);
            writer
                .put_container(ContainerId(FIRST + number), &row)
                .unwrap();
        }
        writer.commit().unwrap();
    }
    let runs: Vec<u32> = (0..(SIZE / CHUNK_BYTES as u64 / RUN_CHUNKS) as u32).collect();
    for some in runs.chunks(1 << 15) {
        let writer = engine.index.write().unwrap();
        for number in some {
            writer.put_run(layer, *number, &run(&mut rng)).unwrap();
        }
        writer.commit().unwrap();
    }
}

/// A figure of this process in KiB, as the system keeps it.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Fills what is kept of packed data, as reading all over it would.
fn keep_frames(store: &Store) {
    let reader = &store.engine_for_tests().reader;
    for number in 0..20_000 {
        let id = ContainerId(FIRST + number);
        for frame in 0..2 {
            let key = FrameKey {
                container: id,
                frame,
                frame_log2: 14,
            };
            let mut piece = reader.frames.piece(1 << 14);
            piece.fill(7);
            reader.frames.insert(key, piece);
        }
        let row = container(number);
        let directory = directory(id);
        reader
            .directories
            .insert(row.location.local(), Arc::new(directory));
    }
}

fn directory(id: ContainerId) -> Directory {
    let frame = Frame {
        offset: 4096,
        len: 8192,
        crc: 1,
        codec: Codec::Lz4,
    };
    Directory {
        header: Header {
            id,
            domain: DomainId(Uuid::from_u128(0xd0)),
            key: None,
            anew: None,
            frame_log2: 14,
            codec: Codec::Lz4,
            slots: CONTAINER_SLOTS,
            directory_offset: 4096,
            total_len: STORED,
        },
        frames: vec![frame; CONTAINER_SLOTS as usize / 4].into(),
        fingerprints: vec![Fingerprint([1; 16]); CONTAINER_SLOTS as usize].into(),
        live: [u64::MAX; CONTAINER_SLOTS as usize / 64],
    }
}

fn write(volume: &Volume, rng: &mut SplitMix64) {
    let mut data = vec![0; 64 << 10];
    for _ in 0..WRITTEN / data.len() as u64 {
        rng.fill(&mut data);
        let at = rng.below(SIZE / data.len() as u64) * data.len() as u64;
        volume.write(at, &data, Durability::Buffered).unwrap();
    }
    volume.flush().unwrap();
}

fn measure(dir: &Path) {
    let store = open(dir);
    println!("opened: {} MiB resident", status("VmRSS") >> 10);
    let volume = store.volume(VOLUME).unwrap();
    let mut rng = SplitMix64::new(2);
    for _ in 0..1_000_000 {
        let at = rng.below(SIZE / CHUNK_BYTES as u64) * CHUNK_BYTES as u64;
        volume.extents(at, CHUNK_BYTES as u64, 1).unwrap();
    }
    println!("looked up: {} MiB resident", status("VmRSS") >> 10);
    let engine = store.engine_for_tests();
    let mut prints = vec![Fingerprint([0; 16]); CONTAINER_SLOTS as usize];
    for number in 0..CONTAINERS {
        for print in &mut prints {
            print.0[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
            print.0[8..].copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        let mut maintenance = engine.maintenance.lock().unwrap();
        let id = ContainerId(FIRST + number);
        maintenance.dedup.insert_container(id, &prints);
    }
    println!("fingerprints: {} MiB resident", status("VmRSS") >> 10);
    // With what the others have not filled yet, and without it.
    engine.lend_memory();
    write(&volume, &mut rng);
    println!("written: {} MiB resident", status("VmRSS") >> 10);
    keep_frames(&store);
    engine.lend_memory();
    println!("packed data: {} MiB resident", status("VmRSS") >> 10);
    write(&volume, &mut rng);
    println!("written: {} MiB resident", status("VmRSS") >> 10);
    let most = status("VmHWM") >> 10;
    println!("at most: {most} MiB");
    assert!(most <= 1024, "{most} MiB");
}

#[test]
#[ignore = "writes 4 GiB; scripts/test-all runs it"]
fn a_tebibyte_takes_a_gibibyte_of_memory_at_most() {
    if let Some(dir) = env::var_os(POOL) {
        return measure(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let outcome = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "a_tebibyte_takes"])
        .env(POOL, dir.path())
        .status()
        .unwrap();
    assert!(outcome.success());
}
