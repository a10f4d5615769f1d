//! What all peers may hold together, of one kind of memory. Each peer that may come has a share of
//! its own, kept for it from the beginning; what is above the shares comes out of one pool, and goes
//! to whoever asks first. So a peer within its share never notices the others, and the sum is
//! bounded, whoever comes and goes in whatever order. Pure.

/// A limit for all peers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Each peer's own, bytes.
    pub share_bytes: usize,
    /// Most bytes that all may hold above their shares.
    pub shared_bytes: usize,
}

impl Config {
    /// No limit.
    pub const NONE: Self = Self {
        share_bytes: 0,
        shared_bytes: usize::MAX,
    };

    /// The pool that keeps so many shares and what is above them within a total. The shares are
    /// kept even when they are more than that.
    #[must_use]
    pub const fn within(bytes_max: usize, share_bytes: usize, shares: usize) -> Self {
        Self {
            share_bytes,
            shared_bytes: bytes_max.saturating_sub(share_bytes.saturating_mul(shares)),
        }
    }

    /// The most that peers with so many shares can hold.
    #[must_use]
    pub const fn bytes_most(&self, shares: usize) -> usize {
        (self.share_bytes.saturating_mul(shares)).saturating_add(self.shared_bytes)
    }
}

/// Who holds how much.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
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
            drawn: 0,
            held: 0,
        }
    }

    /// From now on a peer has so many shares; none when it has gone, or is about to.
    pub(crate) fn set_shares(&mut self, account: &mut Account, shares: usize) {
        let held = account.held;
        self.settle(account, 0);
        account.shares = shares;
        self.settle(account, held);
    }

    /// Most that a peer may hold now.
    pub(crate) fn room(&self, account: &Account) -> usize {
        let share = self.share(account);
        let drawn = account.held.saturating_sub(share);
        let left = self.config.shared_bytes.saturating_sub(self.drawn);
        share.saturating_add(drawn).saturating_add(left)
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

    /// For ten shares, and forty above them.
    const SMALL: Config = Config::within(140, 10, 10);

    fn account(pool: &mut Pool, shares: usize) -> Account {
        let mut account = Account::default();
        pool.set_shares(&mut account, shares);
        account
    }

    #[test]
    fn above_the_shares_there_is_what_they_leave() {
        let mut pool = Pool::new(SMALL);
        let mut one = account(&mut pool, 1);
        let other = account(&mut pool, 3);
        assert_eq!((pool.room(&one), pool.room(&other)), (50, 70));
        pool.settle(&mut one, 50);
        assert_eq!((pool.room(&one), pool.room(&other)), (50, 30));
        assert_eq!(pool.held(), 50);
        assert!(pool.is_above_share(&one) && !pool.is_above_share(&other));
        pool.settle(&mut one, 9);
        assert_eq!((pool.room(&one), pool.room(&other)), (50, 70));
    }

    #[test]
    fn shares_are_kept_for_those_who_are_not_there_yet() {
        let mut pool = Pool::new(SMALL);
        let mut one = account(&mut pool, 1);
        let room = pool.room(&one);
        pool.settle(&mut one, room);
        let others = (0..9).map(|_| account(&mut pool, 1));
        let others: Vec<_> = others.collect();
        assert!(others.iter().all(|other| pool.room(other) == 10));
        assert_eq!(pool.held() + 9 * 10, SMALL.bytes_most(10));
    }

    #[test]
    fn the_total_is_exact_and_never_below_the_shares() {
        assert_eq!(SMALL.bytes_most(10), 140);
        assert_eq!(Config::within(99, 10, 10).bytes_most(10), 100);
        assert_eq!(Config::NONE.bytes_most(10), usize::MAX);
    }

    #[test]
    fn what_one_who_goes_holds_counts_no_more() {
        let mut pool = Pool::new(SMALL);
        let (one, mut other) = (account(&mut pool, 1), account(&mut pool, 1));
        pool.settle(&mut other, 50);
        assert_eq!(pool.room(&one), 10);
        pool.set_shares(&mut other, 0);
        pool.settle(&mut other, 50);
        assert_eq!((pool.room(&one), pool.held()), (50, 0));
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let mut pool = Pool::new(Config::NONE);
        let mut one = account(&mut pool, 1);
        pool.settle(&mut one, 1 << 40);
        assert!(pool.room(&one) > 1 << 41);
    }

    proptest! {
        /// Whoever comes, goes and asks, in whatever order: all that they are given is within the
        /// limit, and nobody is refused its share.
        #[test]
        fn what_is_given_is_bounded(
            steps in prop::collection::vec((0..10_usize, 0..4_usize, 0..60_usize), 1..200),
        ) {
            let mut pool = Pool::new(SMALL);
            let mut accounts: Vec<Account> = (0..10).map(|_| Account::default()).collect();
            for (who, shares, wants) in steps {
                let others: usize = accounts.iter().map(|a| a.shares).sum();
                let account = &mut accounts[who];
                // It may get more shares, and goes with all that it holds.
                let fits = others - account.shares + shares <= 10;
                if shares == 0 || (shares > account.shares && fits) {
                    pool.set_shares(account, shares);
                }
                let room = pool.room(account);
                prop_assert!(room >= 10 * account.shares);
                if account.shares > 0 && wants <= room {
                    pool.settle(account, wants);
                }
                let held: usize = accounts.iter().filter(|a| a.shares > 0).map(|a| a.held).sum();
                prop_assert_eq!(held, pool.held());
                prop_assert!(held <= SMALL.bytes_most(10), "{} held", held);
            }
        }
    }
}
