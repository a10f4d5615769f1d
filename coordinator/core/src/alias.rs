//! Aliases: numbers that fit in a JavaScript number and are given once, also across restarts.

use std::{fmt, time::Duration};

/// Names a session, and the peer behind it, on the wire. Newer is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(u64);

impl Alias {
    /// As read from the wire: it may name nobody.
    #[must_use]
    pub const fn from_wire(number: u64) -> Self {
        Self(number)
    }

    /// As written on the wire.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of several coordinators, 0 to 63: they never give the same alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instance(u8);

impl Instance {
    /// `None` above 63.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 1 << INSTANCE_BITS {
            Some(Self(number))
        } else {
            None
        }
    }
}

/// Gives aliases: `((seconds at start << 16) + n) << 6 | instance`, where the start is taken to a
/// part in 65,536 of a second, and n counts from 1.
///
/// A coordinator that gives fewer than 65,536 a second, on average since its start, stays below
/// every alias that it would give after a restart now, also a restart within the same second.
#[derive(Debug)]
pub(crate) struct Allocator {
    next: u64,
    instance: Instance,
}

impl Allocator {
    /// `started` is the time since 2026-01-01.
    pub(crate) fn new(started: Duration, instance: Instance) -> Self {
        // 31 bits of seconds last until 2094; a clock beyond that must not collide with it.
        let seconds = started.as_secs().min(STARTED_MAX);
        let fraction = (u64::from(started.subsec_nanos()) << COUNT_BITS) / NANOS_PER_SECOND;
        Self {
            next: (seconds << COUNT_BITS) + fraction + 1,
            instance,
        }
    }

    pub(crate) fn allocate(&mut self) -> Alias {
        let alias = (self.next << INSTANCE_BITS) | u64::from(self.instance.0);
        self.next += 1;
        assert!(alias <= JAVASCRIPT_SAFE_MAX, "out of aliases");
        Alias(alias)
    }

    /// Whether a session may keep `alias`, which it was given before. If so, all that are given from
    /// now on are higher: after a clock was set back, or too many were given in a second, the
    /// start alone does not see to that.
    pub(crate) fn take_up(&mut self, alias: Alias) -> bool {
        let number = alias.0 >> INSTANCE_BITS;
        let known = 0 < number && number < self.next.max(TAKEN_UP_END);
        if known && self.is_own(alias) {
            self.next = self.next.max(number + 1);
        }
        known
    }

    /// Whether this instance could not give `alias` any more.
    pub(crate) fn is_past(&self, alias: Alias) -> bool {
        !self.is_own(alias) || alias.0 >> INSTANCE_BITS < self.next
    }

    fn is_own(&self, alias: Alias) -> bool {
        alias.0 & INSTANCE_MASK == u64::from(self.instance.0)
    }
}

/// 2026-01-01T00:00:00Z in seconds since 1970: where the seconds of an alias begin.
pub const EPOCH_UNIX_SECONDS: u64 = 1_767_225_600;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const COUNT_BITS: u32 = 16;
const INSTANCE_BITS: u32 = 6;
const INSTANCE_MASK: u64 = (1 << INSTANCE_BITS) - 1;
const JAVASCRIPT_SAFE_MAX: u64 = (1 << 53) - 1;

/// Leaves two seconds' worth of counts as head-room.
const STARTED_MAX: u64 = (1 << (53 - COUNT_BITS - INSTANCE_BITS)) - 3;

/// An alias of a time beyond this is not taken up, however well it is signed: it would leave no room
/// above it. Two years before the end.
const TAKEN_UP_END: u64 = (STARTED_MAX - (1 << 26)) << COUNT_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_rise_and_carry_the_instance() {
        let instance = Instance::new(5).expect("below 64");
        let mut allocator = Allocator::new(Duration::from_secs(1), instance);
        let first = allocator.allocate();
        assert_eq!(first.number(), ((1 << 16) + 1) << 6 | 5);
        assert!(allocator.allocate() > first);
    }

    #[test]
    fn a_restart_starts_above_all_that_was_given() {
        let started = Duration::from_millis(100_995);
        for (uptime_ms, given) in [(1_000, 65_535), (10, 654)] {
            let mut before = Allocator::new(started, Instance::default());
            let last = (0..given).map(|_| before.allocate()).last();
            let restarted = started + Duration::from_millis(uptime_ms);
            let after = Allocator::new(restarted, Instance::default()).allocate();
            assert!(last.expect("one") < after);
        }
    }

    fn allocator(started_s: u64) -> Allocator {
        Allocator::new(Duration::from_secs(started_s), Instance::default())
    }

    #[test]
    fn those_that_are_taken_up_are_not_given_again() {
        let mut before = allocator(1_000);
        let held: Vec<Alias> = (0..3).map(|_| before.allocate()).collect();
        // The clock was set back.
        let mut after = allocator(10);
        let fresh = after.allocate();
        assert!(fresh < held[0]);
        for at in [2, 0, 1] {
            assert!(after.take_up(held[at]));
            assert!(after.is_past(held[at]));
            assert!(after.allocate() > held[2]);
        }
    }

    #[test]
    fn those_of_another_instance_take_no_room() {
        let mut other = Allocator::new(
            Duration::from_secs(1_000),
            Instance::new(1).expect("below 64"),
        );
        let mut allocator = allocator(10);
        let first = allocator.allocate();
        assert!(allocator.take_up(other.allocate()));
        assert_eq!(allocator.allocate().0, first.0 + (1 << INSTANCE_BITS));
    }

    #[test]
    fn absurd_ones_are_not_taken_up_and_leave_room() {
        for (number, known) in [
            (0, false),
            (1 << INSTANCE_BITS, true),
            ((TAKEN_UP_END - 1) << INSTANCE_BITS, true),
            (TAKEN_UP_END << INSTANCE_BITS, false),
            (JAVASCRIPT_SAFE_MAX, false),
            (u64::MAX, false),
        ] {
            let mut allocator = allocator(1_000);
            assert_eq!(allocator.take_up(Alias(number)), known, "{number}");
            for _ in 0..1_000 {
                assert!(allocator.allocate().0 <= JAVASCRIPT_SAFE_MAX);
            }
        }
        // One that is itself of such a time takes up its own.
        let mut late = allocator(STARTED_MAX);
        let own = late.allocate();
        assert!(late.take_up(own));
    }

    #[test]
    fn instances_have_their_bounds() {
        assert!(Instance::new(62).is_some());
        assert!(Instance::new(63).is_some());
        assert_eq!(Instance::new(64), None);
    }

    #[test]
    fn they_fit_in_a_javascript_number() {
        for started in [STARTED_MAX - 1, STARTED_MAX, STARTED_MAX + 1, u64::MAX] {
            let started = Duration::new(started, 999_999_999);
            let mut allocator = Allocator::new(started, Instance::new(63).expect("below 64"));
            assert!(allocator.allocate().number() < 1 << 53);
        }
    }
}
