//! Password hashes: argon2id with 19 MiB, two passes and one lane, OWASP's first recommendation.
//!
//! That is some 20 ms of one core: dear to a guesser, and unnoticed by a command line call that asks
//! for one token. More memory would let a handful of logins at once crowd out the page cache.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::fault::Fault;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A stored hash with the parameters it was made with.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Hash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
    hash: [u8; 32],
}

impl Hash {
    /// Hashes a password with a fresh salt. Slow on purpose.
    pub(super) fn new(password: &str) -> Result<Self, Fault> {
        let mut hash = Self::of_nobody();
        getrandom::fill(&mut hash.salt).map_err(Fault::internal)?;
        hash.hash = hash.compute(password)?;
        Ok(hash)
    }

    /// A hash that no password has, for taking as long over unknown users as over known ones.
    pub(super) fn of_nobody() -> Self {
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: [0; 16],
            hash: [0; 32],
        }
    }

    /// Whether the password is the one; in constant time, and slow on purpose.
    pub(super) fn verify(&self, password: &str) -> Result<bool, Fault> {
        Ok(self.compute(password)?.ct_eq(&self.hash).into())
    }

    fn compute(&self, password: &str) -> Result<[u8; 32], Fault> {
        #[cfg(test)]
        COMPUTED.set(COMPUTED.get() + 1);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        let params = params.map_err(Fault::internal)?;
        let mut out = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &self.salt, &mut out)
            .map_err(Fault::internal)?;
        Ok(out)
    }
}

#[cfg(test)]
thread_local! {
    static COMPUTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many hashes this thread has computed.
#[cfg(test)]
pub(super) fn computed() -> usize {
    COMPUTED.get()
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn only_the_password_verifies() {
        let hash = Hash::new("secret").unwrap();
        assert!(hash.verify("secret").unwrap());
        assert!(!hash.verify("Secret").unwrap());
        assert!(!Hash::of_nobody().verify("").unwrap());
    }
}
