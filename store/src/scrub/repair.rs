//! Repair from an equal chunk: whoever names a damaged chunk is made to name one with the same
//! fingerprint in the same domain.
//!
//! The change is one that packing makes as well: an entry of the map is replaced where it still is the
//! old address, under `maintenance`, in one transaction. What is copied from a layer not yet changed
//! to one that was, meanwhile, stays with the old address, which is an error for its reader as before;
//! the next round finds it.

use std::collections::HashMap;

use crate::Result;
use crate::addr::{Address, CHUNK_BYTES, ContainerId};
use crate::checkpoint::Stale;
use crate::chunk::{Fingerprint, FingerprintMap, fingerprint};
use crate::encryption::Secrets;
use crate::engine::Engine;
use crate::index::{IndexRead, IndexWriter};
use crate::journal::poisoned;
use crate::maintain::Maintenance;
use crate::pack::reader::Manner;
use crate::pack::verify::Examined;
use crate::scrub::references::{References, Wanted};

/// Damaged chunks and their equals.
type Replacements = HashMap<Address, Address>;

impl Engine {
    /// Replaces what can be replaced of a container; says which slots nothing names any more.
    pub(super) fn point_elsewhere(&self, id: ContainerId, examined: &Examined) -> Result<Wanted> {
        let mut mended = Wanted::default();
        let replacements = self.find_equals(id, examined);
        if replacements.is_empty() {
            return Ok(mended);
        }
        let mut wanted = Wanted::default();
        replacements.keys().for_each(|old| wanted.add(*old));
        let references = self.references(&wanted)?;
        let mut maintenance = self.maintenance()?;
        // The equals were found without the lock; one that was freed meanwhile is none.
        let places = self.places.read().expect(poisoned!());
        let there = |new: &Address| places.get(new.container()).is_some();
        let replacements: Replacements = replacements
            .into_iter()
            .filter(|(_, new)| there(new))
            .collect();
        drop(places);
        self.check_usable()?;
        let replaced = self.replace(&mut maintenance, &references, &replacements);
        replaced.inspect_err(|_| self.journal.fail())?;
        if !references.more {
            replacements.keys().for_each(|old| mended.add(*old));
        }
        Ok(mended)
    }

    /// For each damaged chunk that has a name, a sound one of the same name elsewhere.
    fn find_equals(&self, id: ContainerId, examined: &Examined) -> Replacements {
        let mut names: FingerprintMap<Vec<Address>> = FingerprintMap::default();
        for slot in examined.wrong.iter().flat_map(|wrong| wrong.slots.clone()) {
            let name = examined.name(slot);
            if let Some(name) = name.filter(|name| *name != Fingerprint::NONE) {
                names.entry(name).or_default().push(Address::new(id, slot));
            }
        }
        let mut found = Replacements::new();
        let Some(secrets) = self.secrets_in(examined.domain) else {
            return found;
        };
        for other in self.containers_from(0) {
            if names.is_empty() {
                break;
            }
            if other != id && !self.scrub.is_damaged(other) {
                self.look_for_equals(other, &secrets, &mut names, &mut found);
            }
        }
        found
    }

    fn look_for_equals(
        &self,
        container: ContainerId,
        secrets: &Secrets,
        names: &mut FingerprintMap<Vec<Address>>,
        found: &mut Replacements,
    ) {
        let _guard = self.epochs.enter();
        let row = self.places.read().expect(poisoned!()).get(container);
        let Some(row) = row.filter(|row| row.domain == secrets.domain) else {
            return;
        };
        // What cannot be read is no remedy; its own turn in the round tells of it.
        let Ok(directory) = self.reader.directory(container, row.location.local()) else {
            return;
        };
        for (slot, name) in (0..).zip(directory.fingerprints.iter()) {
            if !names.contains_key(name) {
                continue;
            }
            let mut chunk = [0; CHUNK_BYTES];
            let (place, key) = (row.location.local(), secrets.key.as_deref());
            let read = self
                .reader
                .read(container, place, key, Manner::Usual, slot, &mut chunk);
            if read.is_ok() && fingerprint(&secrets.fingerprints, &chunk) == *name {
                let new = Address::new(container, slot);
                let olds = names.remove(name).unwrap_or_default();
                found.extend(olds.into_iter().map(|old| (old, new)));
            }
        }
    }

    fn replace(
        &self,
        maintenance: &mut Maintenance,
        references: &References,
        replacements: &Replacements,
    ) -> Result<()> {
        let writer = self.index.write()?;
        let mut touched = Vec::new();
        for (layer, number) in references.runs() {
            let Some(mut run) = writer.run(layer, number)? else {
                continue;
            };
            let mut changed = false;
            for address in run.as_mut_slice() {
                if let Some(new) = replacements.get(address) {
                    *address = *new;
                    changed = true;
                    maintenance.note_address(self, *new)?;
                }
            }
            if changed {
                writer.put_run(layer, number, &run)?;
                touched.push((layer, number));
            }
        }
        self.replace_forwarded(maintenance, &writer, references, replacements)?;
        self.commit_runs(writer, Stale::every_stack(&touched))?;
        for window in &references.windows {
            self.forwards.remove(window);
        }
        Ok(())
    }

    fn replace_forwarded(
        &self,
        maintenance: &mut Maintenance,
        writer: &IndexWriter,
        references: &References,
        replacements: &Replacements,
    ) -> Result<()> {
        for window in &references.windows {
            let Some(mut row) = writer.forward(*window)? else {
                continue;
            };
            for slot in 0..crate::addr::CONTAINER_SLOTS {
                if let Some(new) = replacements.get(&row.get(slot)) {
                    row.set(slot, *new);
                    maintenance.note_address(self, *new)?;
                }
            }
            writer.put_forward(*window, &row)?;
        }
        Ok(())
    }
}
