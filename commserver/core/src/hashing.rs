//! A keyed hash for names that peers choose: whoever does not know the key cannot make them collide.

use std::hash::BuildHasher;
#[expect(
    deprecated,
    reason = "std's only keyed hasher whose key can be given, and a core is given its randomness"
)]
use std::hash::SipHasher;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// SipHash under a key that the seed decides.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    key: (u64, u64),
}

impl Keyed {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            key: (rng.random(), rng.random()),
        }
    }
}

#[expect(deprecated, reason = "see the import")]
impl BuildHasher for Keyed {
    type Hasher = SipHasher;

    fn build_hasher(&self) -> SipHasher {
        SipHasher::new_with_keys(self.key.0, self.key.1)
    }
}
