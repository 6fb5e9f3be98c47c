//! Throttles with a clock that the test moves: sharing, changing and ending waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use api::cinder::{IoLimits, Rate};
use nbd::{Device, DeviceError, Extent, Fua, MemoryDevice, StopToken, ZeroFlags};
use uuid::Uuid;

use super::meters::{Direction, Operation};
use super::{Throttle, ThrottledDevice, Throttles};

const READ: Operation = Operation {
    direction: Direction::Read,
    bytes: 4096,
};

fn iops(per_s: u64) -> IoLimits {
    IoLimits {
        total_iops: Some(Rate {
            per_s,
            burst_per_s: None,
        }),
        ..IoLimits::default()
    }
}

/// Throttles, and the hands of their clock.
fn throttles() -> (Throttles, Arc<AtomicU64>) {
    let hands = Arc::new(AtomicU64::new(0));
    let clock = hands.clone();
    let now_us = Arc::new(move || clock.load(Ordering::SeqCst));
    (Throttles::new(now_us), hands)
}

/// A request on a thread of its own, of a throttle that has nothing left.
fn waiting(throttle: &Arc<Throttle>, stop: &StopToken) -> thread::JoinHandle<bool> {
    let (throttle, stop) = (throttle.clone(), stop.clone());
    thread::spawn(move || throttle.pass(READ, &stop))
}

#[test]
fn connections_of_a_volume_share_and_others_do_not() {
    let (throttles, hands) = throttles();
    let (volume, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let stop = StopToken::new();
    let first = throttles.of(volume, || iops(1));
    let second = throttles.of(volume, || iops(1));
    assert!(first.pass(READ, &stop));
    let late = waiting(&second, &stop);
    // Time stands still: only the other volume's requests pass.
    assert!(throttles.of(other, || iops(1)).pass(READ, &stop));
    assert!(!late.is_finished());
    hands.store(1_000_001, Ordering::SeqCst);
    assert!(late.join().unwrap());
}

#[test]
fn a_wait_ends_when_limits_go_or_the_export_does() {
    let (throttles, _hands) = throttles();
    let volume = Uuid::from_u128(1);
    let stop = StopToken::new();
    let throttle = throttles.of(volume, || iops(1));
    assert!(throttle.pass(READ, &stop));
    let freed = waiting(&throttle, &stop);
    throttles.refresh(|_| IoLimits::default());
    assert!(freed.join().unwrap());
    throttles.refresh(|_| iops(1));
    assert!(throttle.pass(READ, &stop));
    let withdrawn = waiting(&throttle, &stop);
    stop.stop();
    assert!(!withdrawn.join().unwrap());
    let stop = StopToken::new();
    let cut = waiting(&throttle, &stop);
    throttles.release();
    assert!(!cut.join().unwrap());
}

#[test]
fn nothing_is_kept_of_volumes_without_connections() {
    let (throttles, _hands) = throttles();
    drop(throttles.of(Uuid::from_u128(1), IoLimits::default));
    let _live = throttles.of(Uuid::from_u128(2), IoLimits::default);
    assert_eq!(throttles.live.lock().unwrap().len(), 1);
}

/// Counts what it is asked to read and to fetch ahead.
struct Disk {
    memory: MemoryDevice,
    reads: AtomicU64,
    fetches: AtomicU64,
}

impl Device for Disk {
    fn size_bytes(&self) -> u64 {
        self.memory.size_bytes()
    }

    fn read_only(&self) -> bool {
        self.memory.read_only()
    }

    fn can_multi_conn(&self) -> bool {
        self.memory.can_multi_conn()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.memory.read(offset, buffer)
    }

    fn write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<(), DeviceError> {
        self.memory.write(offset, data, fua)
    }

    fn flush(&self) -> Result<(), DeviceError> {
        self.memory.flush()
    }

    fn trim(&self, offset: u64, length: u64, fua: Fua) -> Result<(), DeviceError> {
        self.memory.trim(offset, length, fua)
    }

    fn zero(
        &self,
        offset: u64,
        length: u64,
        flags: ZeroFlags,
        fua: Fua,
    ) -> Result<(), DeviceError> {
        self.memory.zero(offset, length, flags, fua)
    }

    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.memory.cache(offset, length)
    }

    fn status(&self, offset: u64, length: u64, max: usize) -> Result<Vec<Extent>, DeviceError> {
        self.memory.status(offset, length, max)
    }
}

#[test]
fn nothing_is_fetched_ahead_past_the_limits() {
    let (throttles, _hands) = throttles();
    let disk = Arc::new(Disk {
        memory: MemoryDevice::new(1 << 20),
        reads: AtomicU64::new(0),
        fetches: AtomicU64::new(0),
    });
    let device = ThrottledDevice {
        device: disk.clone(),
        throttle: throttles.of(Uuid::from_u128(1), || iops(1)),
        stop: StopToken::new(),
    };
    // The clock stands still: had one of these been counted, the next would wait for ever.
    for _ in 0..3 {
        device.cache(0, 1 << 20).unwrap();
    }
    assert_eq!(disk.fetches.load(Ordering::SeqCst), 0);
    device.read(0, &mut [0; 4096]).unwrap();
    assert_eq!(disk.reads.load(Ordering::SeqCst), 1);
}
