//! Operations of the disk that fail under random work, and disks that fill up.
//!
//! Whatever fails, nothing panics; what was acknowledged as durable is found after reopening; and
//! what is found is a state of the model. An operation that failed without stopping the pool has
//! either happened or not. A pool that stopped acknowledges nothing more.

use uuid::Uuid;

use crate::disk::sim::{Effect, Fault, OpKind, SimIo, SplitMix64};
use crate::model::{Model, Run, open, spec};
use crate::{Durability, ErrorKind, Store, Volume, VolumeId};

/// Operations on disks in one run.
const STEPS: usize = 40;

/// A new run with a fault in it; what must hold does. Says whether the fault struck.
fn survives(seed: u64, fault: Fault) -> Result<bool, String> {
    let mut run = Run::new(seed, true);
    run.io.inject(fault);
    let mut before = Model::default();
    for _ in 0..STEPS {
        let outcome = run.try_step();
        if let Err(error) = outcome {
            run.io.heal();
            if stopped(&run) {
                return check_stopped(run, &error).map(|()| true);
            }
            settle(&mut run, &before, &error)?;
        }
        before = run.model.clone();
    }
    run.io.heal();
    let name = *run.model.names().first().ok_or("no volume")?;
    let flushed = run.store.volume(name).and_then(|volume| volume.flush());
    if stopped(&run) {
        // A fault in work that nobody waits for may come out here first.
        let error = flushed.err().ok_or("a pool that stopped has flushed")?;
        return check_stopped(run, &error).map(|()| true);
    }
    flushed.map_err(|error| error.to_string())?;
    expect(&run.store, &run.model)?;
    let run = reopened(run)?;
    expect(&run.store, &run.model).map(|()| false)
}

fn stopped(run: &Run) -> bool {
    run.store.stats().failed
}

/// An operation failed and the pool goes on: it has happened, or it has not.
fn settle(run: &mut Run, before: &Model, error: &crate::Error) -> Result<(), String> {
    let found = Model::of(&run.store).map_err(|e| format!("after {error}: reading: {e}"))?;
    let name = run.history.last().map_or("", |step| step.name);
    if let Some(difference) = run.model.difference(&found) {
        if let Some(other) = before.difference(&found) {
            return Err(format!("{name} failed ({error}): {difference}; {other}"));
        }
        run.model = before.clone();
    }
    Ok(())
}

/// Nothing is acknowledged any more, and what was is there after reopening.
fn check_stopped(run: Run, error: &crate::Error) -> Result<(), String> {
    for name in run.model.names() {
        let Ok(volume) = run.store.volume(name) else {
            continue;
        };
        for outcome in [
            volume.write(0, &[7; 4096], Durability::Durable),
            volume.flush(),
        ] {
            match outcome {
                Err(refused) if refused.kind() == ErrorKind::Failed => {}
                other => return Err(format!("after {error}: {other:?} instead of Failed")),
            }
        }
    }
    let history: Vec<_> = run.history.iter().map(|step| step.digest).collect();
    let durable = run
        .history
        .iter()
        .rposition(|step| step.durable)
        .unwrap_or(0);
    let names: Vec<_> = run.history[durable..]
        .iter()
        .map(|step| step.name)
        .collect();
    let run = reopened(run)?;
    let found = Model::of(&run.store).map_err(|e| format!("after {error}, reopened: {e}"))?;
    if history[durable..].contains(&found.digest()) {
        return Ok(());
    }
    Err(format!("after {error}: none of the states of {names:?}"))
}

fn reopened(mut run: Run) -> Result<Run, String> {
    let spare = SimIo::new(0);
    run.store = open(&spare).map_err(|error| error.to_string())?;
    run.store = open(&run.io).map_err(|error| format!("reopening: {error}"))?;
    Ok(run)
}

fn expect(store: &Store, model: &Model) -> Result<(), String> {
    let found = Model::of(store).map_err(|error| format!("reading: {error}"))?;
    model.difference(&found).map_or(Ok(()), Err)
}

#[test]
fn whatever_fails_nothing_acknowledged_is_lost() {
    let kinds = [
        (None, Effect::Eio, 7),
        (Some(OpKind::Write), Effect::ShortWrite, 5),
        (Some(OpKind::SyncData), Effect::Eio, 2),
        (Some(OpKind::SyncDir), Effect::Eio, 1),
        (Some(OpKind::Read), Effect::Eio, 11),
        (Some(OpKind::Allocate), Effect::NoSpace, 1),
        (Some(OpKind::Write), Effect::NoSpace, 9),
    ];
    let mut struck = 0;
    for (seed, (on, effect, stride)) in (0..).zip(kinds.into_iter().cycle().take(2 * kinds.len())) {
        for skip in (seed % stride..).step_by(stride as usize).take(40) {
            match survives(seed, Fault::once(on, skip, effect)) {
                Ok(true) => struck += 1,
                Ok(false) => {}
                Err(text) => panic!("seed {seed}, {on:?} {effect:?} after {skip}: {text}"),
            }
        }
    }
    println!("{struck} pools stopped");
    assert!(struck > 100, "only {struck} pools were stopped by a fault");
}

/// Bytes that neither compress nor repeat.
fn noise(stamp: u64) -> Vec<u8> {
    let mut bytes = vec![0; 256 << 10];
    SplitMix64::new(stamp).fill(&mut bytes);
    bytes
}

/// A volume and what was written to it: the stamp of each piece of noise.
struct Filled {
    volume: Volume,
    stamps: Vec<u64>,
}

/// Writes noise until the disk is full, packing every so often. All that was accepted is flushed.
fn fill(store: &Store, id: VolumeId, stamp: &mut u64) -> Filled {
    store.create_volume(id, spec(1 << 30)).unwrap();
    let volume = store.volume(id).unwrap();
    let engine = store.engine_for_tests();
    let mut stamps = Vec::new();
    loop {
        *stamp += 1;
        let at = stamps.len() as u64 * (256 << 10);
        match volume.write(at, &noise(*stamp), Durability::Buffered) {
            Ok(()) => stamps.push(*stamp),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                break;
            }
        }
        if stamps.len() % 32 == 0 {
            let mut maintenance = engine.maintenance.lock().unwrap();
            match engine.step(&mut maintenance) {
                Err(error) if error.kind() != ErrorKind::NoSpace => panic!("{error}"),
                _ => {}
            }
        }
    }
    volume.flush().unwrap();
    Filled { volume, stamps }
}

fn check_filled(volume: &Volume, stamps: &[u64]) {
    let mut found = vec![0; 256 << 10];
    for (index, stamp) in stamps.iter().enumerate() {
        volume.read(index as u64 * (256 << 10), &mut found).unwrap();
        assert!(found == noise(*stamp), "piece {index} of {}", stamps.len());
    }
}

#[test]
fn a_full_disk_keeps_what_it_took_and_goes_on_when_there_is_room() {
    for (seed, mib) in [(1, 48), (2, 100)] {
        let io = SimIo::new(seed);
        io.set_space_bytes(mib << 20);
        let mut store = open(&io).unwrap();
        let mut stamp = 0;
        let keep = VolumeId(Uuid::from_u128(1));
        store.create_volume(keep, spec(1 << 20)).unwrap();
        let kept = store.volume(keep).unwrap();
        kept.write(0, &noise(0), Durability::Durable).unwrap();
        drop(kept);
        for round in 0..2 {
            let id = VolumeId(Uuid::from_u128(10 + round));
            let filled = fill(&store, id, &mut stamp);
            let taken_mib = filled.stamps.len() as u64 / 4;
            assert!(
                taken_mib * 3 > mib,
                "round {round}: {taken_mib} of {mib} MiB"
            );
            check_filled(&filled.volume, &filled.stamps);
            let stamps = filled.stamps;
            drop(filled.volume);
            store = open(&SimIo::new(0)).unwrap();
            store = {
                drop(store);
                open(&io).unwrap()
            };
            check_filled(&store.volume(id).unwrap(), &stamps);
            store.delete_volume(id).unwrap();
            let freed = store.reclaim_now().unwrap();
            assert!(!store.stats().failed);
            println!(
                "{mib} MiB: {taken_mib} MiB taken, {} MiB given back",
                freed >> 20
            );
        }
        check_filled(&store.volume(keep).unwrap(), &[0]);
    }
}
