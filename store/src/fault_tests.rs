//! Operations of the disk that fail, under random work and one by one.
//!
//! Whatever fails, nothing panics; what was acknowledged as durable is found after reopening; and
//! what is found is a state of the model. An operation that failed without stopping the pool has
//! either happened or not. A pool that stopped acknowledges nothing more.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::disk::Io;
use crate::disk::sim::{Crash, Effect, Fault, OpKind, SimIo, SplitMix64, Survive};
use crate::model::{Model, Run, open, options, spec};
use crate::{Durability, ErrorKind, Store, VolumeId};

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
    let run = reopened(run)?;
    let found = Model::digest_of(&run.store);
    let found = found.map_err(|e| format!("after {error}, reopened: {e}"))?;
    run.check_survived(usize::MAX, &found)
        .map_err(|lost| format!("after {error}: {lost}"))
}

fn reopened(mut run: Run) -> Result<Run, String> {
    run.let_go();
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

const ID: VolumeId = VolumeId(Uuid::from_u128(1));

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SplitMix64::new(seed).fill(&mut bytes);
    bytes
}

#[test]
fn a_wrong_block_in_the_page_cache_is_read_again_from_the_disk() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    store.create_volume(ID, spec(1 << 20)).unwrap();
    let volume = store.volume(ID).unwrap();
    let data = noise(1, 8192);
    volume.write(0, &data, Durability::Durable).unwrap();
    drop((volume, store));
    // What was written lately is read from memory.
    let store = open(&io).unwrap();
    let volume = store.volume(ID).unwrap();
    let mut found = vec![0; data.len()];
    io.inject(Fault::once(Some(OpKind::Read), 0, Effect::Lie));
    volume.read(0, &mut found).unwrap();
    assert!(found == data);
    io.heal();
    // The same again is damage.
    io.inject(Fault::always(Some(OpKind::Read), Effect::Lie));
    let error = volume.read(0, &mut found).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn what_could_not_be_written_has_failed_and_is_not_damaged() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    store.create_volume(ID, spec(1 << 20)).unwrap();
    let volume = store.volume(ID).unwrap();
    volume.write(0, &[1; 4096], Durability::Durable).unwrap();
    volume.write(0, &[2; 4096], Durability::Buffered).unwrap();
    io.inject(Fault::once(Some(OpKind::Write), 0, Effect::Eio));
    volume.flush().unwrap_err();
    let error = volume.read(0, &mut [0; 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
}

#[test]
fn a_container_that_cannot_be_freed_does_not_keep_the_others() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    store.create_volume(ID, spec(64 << 20)).unwrap();
    let volume = store.volume(ID).unwrap();
    volume
        .write(0, &noise(1, 32 << 20), Durability::Durable)
        .unwrap();
    store.reclaim_now().unwrap();
    let stored = store.stats().stored_bytes;
    volume.trim(0, 64 << 20, Durability::Durable).unwrap();
    io.inject(Fault::once(Some(OpKind::Punch), 0, Effect::Eio));
    let freed = store.reclaim_now().unwrap();
    assert!(
        freed > stored / 2 && freed < stored,
        "{freed} of {stored} freed"
    );
    assert_eq!(store.stats().stored_bytes, 0);
}

#[test]
fn a_new_pool_is_found_after_a_power_loss() {
    let (io, dir) = (SimIo::new(1), Path::new("/srv/disks/pool"));
    let open = |io: &SimIo| Store::open(Arc::new(io.clone()), dir, options());
    let store = open(&io).unwrap();
    store.create_volume(ID, spec(1 << 20)).unwrap();
    let volume = store.volume(ID).unwrap();
    volume
        .write(0, &noise(1, 8192), Durability::Durable)
        .unwrap();
    let nothing = Crash::new(Survive::Nothing);
    let image = io.crash(io.op_count(), &nothing, &mut SplitMix64::new(1));
    let found = open(&image).unwrap().volume(ID).unwrap();
    let mut bytes = vec![0; 8192];
    found.read(0, &mut bytes).unwrap();
    assert!(bytes == noise(1, 8192));
}

#[test]
fn segments_are_given_back_for_good_before_their_forwarding_rows_go() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    store.create_volume(ID, spec(1 << 20)).unwrap();
    let volume = store.volume(ID).unwrap();
    volume
        .write(0, &noise(1, 8192), Durability::Durable)
        .unwrap();
    let engine = store.engine_for_tests();
    let packed = engine.journal.current_number();
    io.forget_history();
    store.reclaim_now().unwrap();
    let nothing = Crash::new(Survive::Nothing);
    let image = io.crash(io.op_count(), &nothing, &mut SplitMix64::new(1));
    let names = image.list(Path::new("/pool/journal")).unwrap();
    let name = format!("{packed:08}.wal");
    assert!(
        names.iter().all(|entry| entry.name != name),
        "{name} is back"
    );
}

#[test]
fn a_round_of_packing_that_failed_leaves_nothing_to_refer_to() {
    let io = SimIo::new(1);
    io.set_space_bytes(1 << 30);
    let store = open(&io).unwrap();
    store.create_volume(ID, spec(64 << 20)).unwrap();
    let volume = store.volume(ID).unwrap();
    let data = noise(5, 40 << 20);
    volume.write(0, &data, Durability::Durable).unwrap();
    let engine = store.engine_for_tests();
    engine.journal.roll_now().unwrap();
    {
        let mut maintenance = engine.maintenance().unwrap();
        engine.checkpoint(&mut maintenance).unwrap();
        // Some containers get written, and then one does not.
        let once = |effect| Fault::once(Some(OpKind::Write), 5, effect);
        io.inject(once(Effect::Eio));
        engine.pack_round(&mut maintenance).unwrap_err();
        io.heal();
        while engine.pack_round(&mut maintenance).unwrap() {}
        engine.checkpoint(&mut maintenance).unwrap();
    }
    store.close().unwrap();
    drop((engine, volume, store));
    let store = open(&io).unwrap();
    let mut found = vec![0; data.len()];
    store.volume(ID).unwrap().read(0, &mut found).unwrap();
    assert!(found == data);
}
