//! Packing: moving chunks from ended journal segments into containers, once each, compressed.
//!
//! A round takes segments that the last checkpoint covers, oldest first. A chunk is dropped only when
//! its own layer maps its place to something else. Everything a round decides (container rows, where
//! each old slot went, changed map entries) is committed in one transaction, after the containers
//! are durable; only then are the segments forgotten and, when no read can still be using them,
//! used again.

mod ahead;
mod live;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::live::{Live, PIECE_CHUNKS, Piece, pieces};
use crate::addr::{Address, CHUNK_BYTES, CONTAINER_SLOTS, ContainerId};
use crate::checkpoint::Stale;
use crate::chunk::{Fingerprint, fingerprints};
use crate::disk::AlignedBuf;
use crate::encryption::Secrets;
use crate::engine::Engine;
use crate::index::{ContainerRow, ForwardRow, IndexRead, LayerId, Location, RUN_CHUNKS};
use crate::journal::poisoned;
use crate::journal::segment::Segment;
use crate::maintain::Maintenance;
use crate::pack::writer::{ContainerBuilder, FrameOptions};
use crate::{DomainId, ErrorKind, Result};

/// Segments packed in one transaction at most.
const ROUND_BYTES: u64 = 1 << 30;

/// A chunk's place in its run, its old and its new address.
type Move = (usize, Address, Address);

/// The containers of a domain that are being filled.
#[derive(Default)]
struct Open {
    /// With what was written together.
    together: Option<ContainerBuilder>,
    /// With what was written here and there.
    scattered: Option<ContainerBuilder>,
}

impl Open {
    fn builders(self) -> impl Iterator<Item = ContainerBuilder> {
        [self.together, self.scattered].into_iter().flatten()
    }

    fn find(&self, print: Fingerprint) -> Option<Address> {
        let mut builders = [&self.together, &self.scattered].into_iter().flatten();
        builders.find_map(|builder| Some(Address::new(builder.id(), builder.find(print)?)))
    }
}

/// What a round has decided so far.
#[derive(Default)]
struct Round {
    open: HashMap<DomainId, Open>,
    rows: Vec<(ContainerId, ContainerRow)>,
    forwards: HashMap<ContainerId, ForwardRow>,
    /// Of each live chunk, by layer and run.
    moves: HashMap<(LayerId, u32), Vec<Move>>,
    hit_chunks: u64,
    /// Whether what is scattered is stored as it is, to be compressed when it is cold.
    as_it_is: bool,
    /// Those that are packed by it.
    segments: Vec<Arc<Segment>>,
}

impl Engine {
    /// Packs ended segments that the last checkpoint covers; says whether there were any.
    ///
    /// # Errors
    /// `NoSpace` when there is no room to pack the oldest into; nothing has changed then.
    pub(crate) fn pack_round(&self, maintenance: &mut Maintenance) -> Result<bool> {
        let most = match self.raw_tier_is_tight() {
            true => ROUND_BYTES,
            // Guests may come back at any moment.
            false => ROUND_BYTES / 2,
        };
        match self.pack_segments(maintenance, most) {
            // One segment after the other makes room for the next.
            Err(error) if error.kind() == ErrorKind::NoSpace => self.pack_segments(maintenance, 0),
            outcome => outcome,
        }
    }

    /// Packs the oldest segment, and those behind it up to `bytes_max`.
    fn pack_segments(&self, maintenance: &mut Maintenance, bytes_max: u64) -> Result<bool> {
        self.check_usable()?;
        maintenance.look_again_at_locked(self.keys.loaded());
        let mut bytes = 0;
        let segments: Vec<Arc<Segment>> = self
            .journal
            .ended_segments()
            .into_iter()
            .take_while(|segment| segment.last_sequence() <= maintenance.applied_sequence)
            .filter(|segment| !maintenance.is_locked(segment))
            .take_while(|segment| {
                let first = bytes == 0;
                bytes += segment.bytes();
                first || bytes <= bytes_max
            })
            .collect();
        if segments.is_empty() {
            return Ok(false);
        }
        self.reserve.give_up_if_tight();
        let roomy = !self.is_tight() && self.has_room_to_pack();
        let mut round = Round {
            as_it_is: self.recompressor.is_on() && roomy,
            ..Round::default()
        };
        if let Err(error) = self.pack_all(maintenance, &mut round, &segments) {
            self.abandon(maintenance, &round);
            return Err(error);
        }
        let segments = round.segments.clone();
        if segments.is_empty() {
            return Ok(false);
        }
        if let Err(error) = self.commit_round(maintenance, round) {
            self.journal.fail();
            return Err(error);
        }
        // Reads that looked up an address before the commit may still want the segment.
        self.epochs.wait();
        for segment in &segments {
            self.journal.forget(segment);
        }
        self.epochs.wait();
        for segment in &segments {
            self.journal.recycle(segment)?;
        }
        Ok(true)
    }

    fn pack_all(
        &self,
        maintenance: &mut Maintenance,
        round: &mut Round,
        segments: &[Arc<Segment>],
    ) -> Result<()> {
        let mut live = Vec::new();
        for segment in segments {
            match self.gather(maintenance, round, segment, &mut live) {
                Ok(()) => round.segments.push(Arc::clone(segment)),
                // It stays where it is, and so does what it holds of others.
                Err(error) if error.kind() == ErrorKind::KeyUnavailable => {
                    tracing::warn!(%error, "a journal segment is not packed");
                    segment.ensure_trailer()?;
                    maintenance.note_locked(segment);
                }
                Err(error) => return Err(error),
            }
        }
        // In the order of their place on the disk: what lies together there is read together later.
        live.sort_unstable();
        self.announce(&round.segments, &live);
        self.pack_live(maintenance, round, &live)?;
        self.finish_containers(maintenance, round)?;
        // After a failed sync nothing is acknowledged any more, wherever it happened.
        self.packs.sync().inspect_err(|_| self.journal.fail())
    }

    /// Takes back what a round has made that will not be committed: no row may ever refer to it.
    fn abandon(&self, maintenance: &mut Maintenance, round: &Round) {
        for (id, row) in &round.rows {
            self.places.write().expect(poisoned!()).remove(*id);
            maintenance.dedup.forget_container(*id);
            if let Err(error) = self.packs.free(row.location.local()) {
                tracing::warn!(%error, "an unused container stays until the next opening");
            }
        }
    }

    /// Adds what is alive of a segment, which is to be the next of the round. Nothing of it is packed
    /// unless all of it can be.
    fn gather(
        &self,
        maintenance: &mut Maintenance,
        round: &mut Round,
        segment: &Segment,
        live: &mut Vec<Live>,
    ) -> Result<()> {
        let number = round.segments.len() as u32;
        let found = self.live_chunks(maintenance, segment, number)?;
        for same in found.chunk_by(|one, next| one.layer == next.layer) {
            self.secrets_of(maintenance, same[0].layer)?;
        }
        for window in 0..segment.windows() {
            let id = ContainerId(segment.header.first_container + window);
            round.forwards.insert(id, ForwardRow::holes());
        }
        live.extend(found);
        Ok(())
    }

    fn pack_live(
        &self,
        maintenance: &mut Maintenance,
        round: &mut Round,
        live: &[Live],
    ) -> Result<()> {
        let mut data = AlignedBuf::zeroed(PIECE_CHUNKS * CHUNK_BYTES);
        let mut work = self.piece();
        for piece in pieces(live) {
            self.rest_after(&mut work);
            let segment = Arc::clone(&round.segments[piece.chunks[0].segment as usize]);
            let part = &mut data[..piece.chunks.len() * CHUNK_BYTES];
            match self.read_live(maintenance, &segment, piece.chunks, part) {
                Ok(()) => self.pack_chunks(maintenance, round, &segment, piece, part)?,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    // Reading these chunks has been an error and stays one; the others are saved.
                    tracing::error!(%error, "damaged chunks are left out of packing");
                    self.pack_readable(maintenance, round, &segment, piece)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Packs those of some chunks that can be read.
    fn pack_readable(
        &self,
        maintenance: &mut Maintenance,
        round: &mut Round,
        segment: &Segment,
        piece: Piece<'_>,
    ) -> Result<()> {
        let mut chunk = AlignedBuf::zeroed(CHUNK_BYTES);
        for one in piece.chunks.chunks(1) {
            let alone = Piece {
                chunks: one,
                ..piece
            };
            match self.read_live(maintenance, segment, one, &mut chunk) {
                Ok(()) => self.pack_chunks(maintenance, round, segment, alone, &chunk)?,
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads chunks that lie one behind the other, and decrypts those of encrypted domains.
    fn read_live(
        &self,
        maintenance: &mut Maintenance,
        segment: &Segment,
        live: &[Live],
        out: &mut [u8],
    ) -> Result<()> {
        let first = live[0].block;
        self.journal.read_once(segment, first, out)?;
        // What was read has not been looked at yet, and is about to become permanent.
        segment.verify_all(first, out)?;
        for (one, chunk) in live.iter().zip(out.chunks_exact_mut(CHUNK_BYTES)) {
            let secrets = self.secrets_of(maintenance, one.layer)?;
            if let Some(key) = &secrets.key {
                segment.unseal(key, one.block, chunk)?;
            }
        }
        Ok(())
    }

    /// Packs a piece with these bytes.
    fn pack_chunks(
        &self,
        maintenance: &mut Maintenance,
        round: &mut Round,
        segment: &Segment,
        piece: Piece<'_>,
        data: &[u8],
    ) -> Result<()> {
        let mut at = 0;
        let mut prints = Vec::with_capacity(piece.chunks.len());
        let scattered = piece.scattered && round.as_it_is;
        for same in piece.chunks.chunk_by(|one, next| one.layer == next.layer) {
            let secrets = self.secrets_of(maintenance, same[0].layer)?;
            let data = &data[at * CHUNK_BYTES..][..same.len() * CHUNK_BYTES];
            prints.clear();
            fingerprints(&secrets.fingerprints, data, &mut prints);
            let named = prints.iter().zip(data.chunks_exact(CHUNK_BYTES));
            for (one, (print, chunk)) in same.iter().zip(named) {
                let new = match self.find_equal(maintenance, round, secrets.domain, *print)? {
                    Some(address) => {
                        round.hit_chunks += 1;
                        address
                    }
                    None => {
                        self.store_chunk(maintenance, round, &secrets, scattered, *print, chunk)?
                    }
                };
                Self::note_move(round, segment, *one, new);
            }
            at += same.len();
        }
        Ok(())
    }

    fn note_move(round: &mut Round, segment: &Segment, one: Live, new: Address) {
        let old = segment.address(one.block);
        if let Some(row) = round.forwards.get_mut(&old.container()) {
            row.set(old.slot(), new);
        }
        let run = (one.chunk / RUN_CHUNKS) as u32;
        let moves = round.moves.entry((one.layer, run)).or_default();
        moves.push(((one.chunk % RUN_CHUNKS) as usize, old, new));
    }

    fn find_equal(
        &self,
        maintenance: &mut Maintenance,
        round: &Round,
        domain: DomainId,
        print: Fingerprint,
    ) -> Result<Option<Address>> {
        let open = round.open.get(&domain);
        if let Some(address) = open.and_then(|open| open.find(print)) {
            return Ok(Some(address));
        }
        let load = |container| self.fingerprints_of(container);
        Ok(maintenance.dedup.lookup(print, load))
    }

    /// The fingerprints of a packed container; `None` when it is gone, or damaged and so nobody's
    /// duplicate.
    pub(crate) fn fingerprints_of(
        &self,
        container: ContainerId,
    ) -> Result<Option<Arc<[Fingerprint]>>> {
        let row = self.places.read().expect(poisoned!()).get(container);
        let Some(row) = row.filter(|_| !self.scrub.is_damaged(container)) else {
            return Ok(None);
        };
        let directory = self.reader.directory(container, row.location.local())?;
        Ok(Some(Arc::clone(&directory.fingerprints)))
    }

    fn store_chunk(
        &self,
        maintenance: &mut Maintenance,
        round: &mut Round,
        secrets: &Secrets,
        scattered: bool,
        print: Fingerprint,
        chunk: &[u8],
    ) -> Result<Address> {
        let domain = secrets.domain;
        let open = round.open.entry(domain).or_default();
        let (place, options) = match scattered {
            true => (&mut open.scattered, FrameOptions::SCATTERED),
            false => (&mut open.together, FrameOptions::default()),
        };
        let builder = match place {
            Some(builder) => builder,
            None => {
                let (id, key) = (self.take_container_id()?, secrets.key.clone());
                place.insert(ContainerBuilder::new(id, domain, key, options))
            }
        };
        let address = Address::new(builder.id(), builder.push(print, chunk));
        if let Some(full) = place.take_if(|builder| builder.is_full()) {
            self.finish_container(maintenance, round, full)?;
        }
        Ok(address)
    }

    fn finish_containers(&self, maintenance: &mut Maintenance, round: &mut Round) -> Result<()> {
        let open: Vec<Open> = round.open.drain().map(|(_, open)| open).collect();
        open.into_iter()
            .flat_map(Open::builders)
            .try_for_each(|builder| self.finish_container(maintenance, round, builder))
    }

    fn finish_container(
        &self,
        maintenance: &mut Maintenance,
        round: &mut Round,
        builder: ContainerBuilder,
    ) -> Result<()> {
        let Some(sealed) = builder.finish() else {
            return Ok(());
        };
        let len = sealed.bytes.len() as u64;
        self.reserve.check_room(len, self.ranges.bytes())?;
        let location = Location::Local(self.packs.append(&sealed)?);
        let row = ContainerRow {
            location,
            slots: sealed.slots as u16,
            live: sealed.slots as u16,
            plain_bytes: sealed.plain_bytes as u32,
            domain: sealed.domain,
            tight: false,
        };
        // From here on the round itself may find it; the rows of both go into one transaction.
        self.places
            .write()
            .expect(poisoned!())
            .insert(sealed.id, row);
        maintenance
            .dedup
            .insert_container(sealed.id, &sealed.directory.fingerprints);
        self.reader.warmth.touch(sealed.id);
        round.rows.push((sealed.id, row));
        Ok(())
    }

    fn commit_round(&self, maintenance: &mut Maintenance, round: Round) -> Result<()> {
        let writer = self.index.write()?;
        for (id, row) in &round.rows {
            writer.put_container(*id, row)?;
        }
        for (id, row) in &round.forwards {
            writer.put_forward(*id, row)?;
        }
        for layer in self.unnamed_layers(maintenance, &round) {
            writer.delete_layer(layer)?;
            maintenance.merged.remove(&layer);
        }
        let mut touched = Vec::new();
        for ((layer, number), moves) in &round.moves {
            let Some(mut run) = writer.run(*layer, *number)? else {
                continue;
            };
            for (index, old, new) in moves {
                if run.get(*index) == *old {
                    run.set(*index, *new);
                }
                // Whether or not the entry is here still, a copy of it may be elsewhere.
                maintenance.note_address(self, *new)?;
            }
            writer.put_run(*layer, *number, &run)?;
            touched.push((*layer, *number));
        }
        let last_layer = self.state.read().expect(poisoned!()).last_layer();
        let limit = self.put_checkpoint(&writer, maintenance.applied_sequence, last_layer)?;
        for (id, row) in round.forwards {
            self.forwards.insert(id, Arc::new(row));
        }
        // Runs seen through other stacks may be these runs.
        self.commit_runs(writer, Stale::every_stack(&touched))?;
        self.containers.reserve(limit);
        self.dedup_hit_bytes
            .fetch_add(round.hit_chunks * CHUNK_BYTES as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Merged layers that no segment besides those of this round can name.
    fn unnamed_layers(&self, maintenance: &Maintenance, round: &Round) -> Vec<LayerId> {
        let oldest = self.journal.first_sequence_without(&round.segments);
        let merged = maintenance.merged.iter();
        merged
            .filter(|(_, (_, at))| *at < oldest)
            .map(|(layer, _)| *layer)
            .collect()
    }

    /// What the chunks of a layer are named and sealed with.
    ///
    /// # Errors
    /// `KeyUnavailable` when they are encrypted and their key cannot be had.
    fn secrets_of(&self, maintenance: &mut Maintenance, layer: LayerId) -> Result<Arc<Secrets>> {
        if let Some((known, secrets)) = &maintenance.last_secrets
            && *known == layer
        {
            return Ok(Arc::clone(secrets));
        }
        let secrets = Arc::new(self.find_secrets(layer)?);
        maintenance.last_secrets = Some((layer, Arc::clone(&secrets)));
        Ok(secrets)
    }
}

const _: () = assert!(RUN_CHUNKS < CONTAINER_SLOTS as u64);

#[cfg(test)]
mod scattered_tests;
#[cfg(test)]
mod tests;
