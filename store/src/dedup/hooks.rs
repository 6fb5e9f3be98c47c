//! A table from hooks to containers in eight bytes an entry.
//!
//! Entries are 26 bits of tag and 38 bits of container id, in buckets of eight: one cache line. The
//! low bits of the fingerprint's second half choose the bucket; the tag starts above the bits that
//! the smallest table uses, so that a table can be doubled knowing nothing but its entries. With 12
//! bits of bucket at least, an entry tells 2^38 fingerprints apart, and a wrong one costs one needless
//! load of a list.

use crate::addr::ContainerId;
use crate::chunk::Fingerprint;

const ID_BITS: u32 = 38;
const TAG_BITS: u32 = 64 - ID_BITS;
const WAYS: usize = 8;
/// Buckets of the smallest table as a power of two: 256 KiB.
const LOG2_MIN: u32 = 12;
/// A larger table would choose buckets by bits that entries do not have.
const LOG2_MAX: u32 = LOG2_MIN + TAG_BITS;

type Bucket = [u64; WAYS];

pub(super) struct Hooks {
    buckets: Vec<Bucket>,
    log2: u32,
    log2_max: u32,
    len: usize,
}

fn entry(fingerprint: Fingerprint, id: ContainerId) -> u64 {
    tag(fingerprint) << ID_BITS | id.0
}

fn tag(fingerprint: Fingerprint) -> u64 {
    fingerprint.high() >> LOG2_MIN & ((1 << TAG_BITS) - 1)
}

fn id_of(entry: u64) -> ContainerId {
    ContainerId(entry & ((1 << ID_BITS) - 1))
}

impl Hooks {
    pub(super) fn new(memory_bytes: usize) -> Self {
        let buckets = memory_bytes / size_of::<Bucket>();
        let log2_max = buckets.checked_ilog2().unwrap_or(0);
        Self {
            buckets: vec![[0; WAYS]; 1 << LOG2_MIN],
            log2: LOG2_MIN,
            log2_max: log2_max.clamp(LOG2_MIN, LOG2_MAX),
            len: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    /// Memory that the table takes once it has grown the next time.
    pub(super) fn next_bytes(&self) -> usize {
        (1 << (self.log2 + 1).min(self.log2_max)) * size_of::<Bucket>()
    }

    /// The containers that may have the chunk, newest first.
    pub(super) fn candidates(
        &self,
        fingerprint: Fingerprint,
    ) -> impl Iterator<Item = ContainerId> + use<> {
        let mut found = [0; WAYS];
        let mut count = 0;
        for entry in self.buckets[self.bucket(fingerprint)] {
            if entry != 0 && entry >> ID_BITS == tag(fingerprint) {
                found[count] = id_of(entry).0;
                count += 1;
            }
        }
        found[..count].sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter().take(count).map(ContainerId)
    }

    /// Remembers that the container has the chunk; the newest container with an equal tag wins.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, id: ContainerId) {
        // Buckets hold four entries on average then; one in fifty has more hooks than room.
        if self.len * 2 >= self.buckets.len() * WAYS && self.log2 < self.log2_max {
            self.grow();
        }
        let (index, new) = (self.bucket(fingerprint), entry(fingerprint, id));
        self.place(index, new);
    }

    pub(super) fn remove(&mut self, fingerprint: Fingerprint, id: ContainerId) {
        let (index, stale) = (self.bucket(fingerprint), entry(fingerprint, id));
        for slot in &mut self.buckets[index] {
            if *slot == stale {
                *slot = 0;
                self.len -= 1;
            }
        }
    }

    fn bucket(&self, fingerprint: Fingerprint) -> usize {
        (fingerprint.high() & ((1 << self.log2) - 1)) as usize
    }

    fn place(&mut self, index: usize, new: u64) {
        let bucket = &mut self.buckets[index];
        let same = |slot: &&mut u64| **slot != 0 && **slot >> ID_BITS == new >> ID_BITS;
        if let Some(slot) = bucket.iter_mut().find(same) {
            *slot = (*slot).max(new);
        } else if let Some(slot) = bucket.iter_mut().find(|slot| **slot == 0) {
            *slot = new;
            self.len += 1;
        } else if let Some(oldest) = bucket.iter_mut().min_by_key(|slot| id_of(**slot)) {
            *oldest = new;
        }
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.buckets);
        self.buckets = vec![[0; WAYS]; old.len() * 2];
        self.len = 0;
        // The bit that tells the two successors of a bucket apart is the lowest unused one of the tag.
        let bit = ID_BITS + self.log2 - LOG2_MIN;
        for (index, bucket) in old.iter().enumerate() {
            for entry in bucket.iter().copied().filter(|entry| *entry != 0) {
                let high = (entry >> bit & 1) as usize;
                self.place(index + (high << self.log2), entry);
            }
        }
        self.log2 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::Hooks;
    use crate::addr::ContainerId;
    use crate::chunk::{DomainKey, Fingerprint, fingerprint};

    fn name(number: u64) -> Fingerprint {
        fingerprint(&DomainKey::new([3; 32]), &number.to_le_bytes())
    }

    #[test]
    fn growing_loses_next_to_nothing() {
        let mut hooks = Hooks::new(64 << 20);
        let count = 200_000;
        for number in 1..=count {
            hooks.insert(name(number), ContainerId(number));
        }
        assert!(hooks.memory_bytes() > 1 << 20);
        let kept = (1..=count)
            .filter(|number| hooks.candidates(name(*number)).any(|id| id.0 == *number))
            .count() as u64;
        assert!(count - kept <= count / 50, "{kept} of {count}");
        assert_eq!(hooks.len() as u64, kept);
    }

    #[test]
    fn the_cap_holds_and_the_newest_stay() {
        let mut hooks = Hooks::new(1 << 20);
        for number in 1..=1_000_000 {
            hooks.insert(name(number), ContainerId(number));
        }
        assert!(hooks.memory_bytes() <= 1 << 20);
        assert!(hooks.len() > 120_000);
        let newest = (990_001..=1_000_000)
            .filter(|number| hooks.candidates(name(*number)).any(|id| id.0 == *number))
            .count();
        assert!(newest > 9_900, "{newest}");
    }

    #[test]
    fn stale_hooks_go() {
        let mut hooks = Hooks::new(0);
        hooks.insert(name(1), ContainerId(7));
        hooks.insert(name(1), ContainerId(5));
        assert_eq!(
            hooks.candidates(name(1)).collect::<Vec<_>>(),
            [ContainerId(7)]
        );
        hooks.remove(name(1), ContainerId(7));
        assert_eq!((hooks.candidates(name(1)).count(), hooks.len()), (0, 0));
    }
}
