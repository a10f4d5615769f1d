//! What all peers may hold together, of one kind of memory. Each peer that is there has a share of
//! its own; what is above the shares comes out of what is left, and goes to whoever asks first. So
//! a peer within its share never notices the others, and the sum is bounded. Pure.

/// A limit for all peers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Most bytes together, as long as the shares of those who are there are not more.
    pub bytes_max: usize,
    /// Each peer's own.
    pub share_bytes: usize,
}

impl Config {
    /// No limit.
    pub const NONE: Self = Self {
        bytes_max: usize::MAX,
        share_bytes: 0,
    };

    /// The most that so many shares can come to with what is left beside them.
    #[must_use]
    pub const fn bytes_most(&self, shares: usize) -> usize {
        let reserved = self.share_bytes.saturating_mul(shares);
        if reserved > self.bytes_max {
            reserved
        } else {
            self.bytes_max
        }
    }
}

/// Who holds how much.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
    /// Shares of those who are there.
    reserved: usize,
    /// What they hold above their shares.
    drawn: usize,
    /// What they hold.
    held: usize,
}

/// What one peer holds.
#[derive(Debug, Default)]
pub(crate) struct Account {
    shares: usize,
    held: usize,
}

impl Account {
    /// What it holds.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Whether it has no share, because its peer has gone or is about to.
    pub(crate) fn is_closed(&self) -> bool {
        self.shares == 0
    }

    /// What it holds for each of its shares.
    pub(crate) fn held_per_share(&self) -> usize {
        self.held / self.shares.max(1)
    }
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            reserved: 0,
            drawn: 0,
            held: 0,
        }
    }

    /// From now on a peer has so many shares; none when it has gone, or is about to.
    pub(crate) fn set_shares(&mut self, account: &mut Account, shares: usize) {
        let held = account.held;
        self.settle(account, 0);
        self.reserved -= self.share(account);
        account.shares = shares;
        self.reserved = self.reserved.saturating_add(self.share(account));
        if shares > 0 {
            self.settle(account, held);
        }
    }

    /// Most that a peer may hold now.
    pub(crate) fn room(&self, account: &Account) -> usize {
        let taken = self.reserved.saturating_add(self.drawn);
        let left = self.config.bytes_max.saturating_sub(taken);
        let drawn = account.held.saturating_sub(self.share(account));
        self.share(account)
            .saturating_add(drawn)
            .saturating_add(left)
    }

    /// A peer holds so much now.
    pub(crate) fn settle(&mut self, account: &mut Account, held: usize) {
        if held == account.held || account.shares == 0 {
            return;
        }
        let share = self.share(account);
        self.drawn -= account.held.saturating_sub(share);
        self.held -= account.held;
        account.held = held;
        self.drawn += account.held.saturating_sub(share);
        self.held += account.held;
    }

    /// Whether a peer is above what is its own.
    pub(crate) fn is_above_share(&self, account: &Account) -> bool {
        account.held > self.share(account)
    }

    /// What all hold.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    fn share(&self, account: &Account) -> usize {
        self.config.share_bytes.saturating_mul(account.shares)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Config = Config {
        bytes_max: 100,
        share_bytes: 10,
    };

    fn account(pool: &mut Pool, shares: usize) -> Account {
        let mut account = Account::default();
        pool.set_shares(&mut account, shares);
        account
    }

    #[test]
    fn the_rest_is_what_the_shares_of_those_who_are_there_leave() {
        let mut pool = Pool::new(SMALL);
        let mut one = account(&mut pool, 1);
        assert_eq!(pool.room(&one), 100);
        let other = account(&mut pool, 3);
        assert_eq!((pool.room(&one), pool.room(&other)), (70, 90));
        pool.settle(&mut one, 70);
        assert_eq!((pool.room(&one), pool.room(&other)), (70, 30));
        assert_eq!(pool.held(), 70);
        assert!(pool.is_above_share(&one) && !pool.is_above_share(&other));
        pool.settle(&mut one, 9);
        assert_eq!((pool.room(&one), pool.room(&other)), (70, 90));
    }

    #[test]
    fn who_goes_leaves_its_share_to_the_others() {
        let mut pool = Pool::new(SMALL);
        let (one, mut other) = (account(&mut pool, 1), account(&mut pool, 1));
        pool.settle(&mut other, 90);
        assert_eq!(pool.room(&one), 10);
        pool.set_shares(&mut other, 0);
        pool.settle(&mut other, 50);
        assert_eq!((pool.room(&one), pool.held()), (100, 0));
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let mut pool = Pool::new(Config::NONE);
        let mut one = account(&mut pool, 1);
        pool.settle(&mut one, 1 << 40);
        assert!(pool.room(&one) > 1 << 41);
    }

    proptest! {
        /// Whatever they ask for, all that they are given is within the limit, or their shares.
        #[test]
        fn what_is_given_is_bounded(steps in prop::collection::vec((0..8_usize, 0..3_usize, 0..60_usize), 1..200)) {
            let mut pool = Pool::new(SMALL);
            let mut accounts: Vec<Account> = (0..8).map(|_| Account::default()).collect();
            for (who, shares, wants) in steps {
                let account = &mut accounts[who];
                if wants % 7 == 0 {
                    let grows = shares > account.shares;
                    // Who comes takes its share out of what is left, if there is that much.
                    if !grows || pool.room(account) >= account.held + 10 * (shares - account.shares) {
                        pool.set_shares(account, shares);
                    }
                }
                let room = pool.room(account);
                if account.shares > 0 && wants <= room {
                    pool.settle(account, wants);
                }
                let held: usize = accounts.iter().filter(|a| a.shares > 0).map(|a| a.held).sum();
                let reserved: usize = accounts.iter().map(|a| 10 * a.shares).sum();
                prop_assert_eq!(held, pool.held());
                prop_assert!(held <= SMALL.bytes_max.max(reserved), "{} of {}", held, reserved);
            }
        }
    }
}
