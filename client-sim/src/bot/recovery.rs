//! How long a client takes from noticing that its server is lost to being subscribed and receiving
//! again.

use std::time::{Duration, Instant};

/// One bot's losses, one at a time: one during the way back belongs to the first.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    noticed: Option<Instant>,
    /// When a server confirmed the subscriptions again.
    confirmed: Option<Instant>,
}

/// How it stands when the bot ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is open.
    Settled,
    /// Back after so long, with nothing left to receive.
    Back(Duration),
    /// Not back.
    Open,
}

impl Recovery {
    pub(super) fn lose(&mut self, now: Instant) {
        self.noticed.get_or_insert(now);
        self.confirmed = None;
    }

    pub(super) fn confirm(&mut self, now: Instant) {
        self.confirmed = Some(now);
    }

    /// A packet of the load came: how long it took, if it is the first one again.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Duration> {
        // Before the confirmation it may be one that was under way on the former server.
        let confirmed = self.confirmed?;
        let noticed = self.noticed.take()?;
        Some(now.max(confirmed).saturating_duration_since(noticed))
    }

    /// The bot ends; nothing was to be expected from `quiet_from` on.
    pub(super) fn end(&mut self, quiet_from: Option<Instant>) -> End {
        match (self.noticed.take(), self.confirmed) {
            (None, _) => End::Settled,
            (Some(noticed), Some(confirmed))
                if quiet_from.is_some_and(|quiet| confirmed >= quiet) =>
            {
                End::Back(confirmed.saturating_duration_since(noticed))
            }
            (Some(_), _) => End::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn counts_from_the_notice_to_the_first_packet_after_the_confirmation() {
        let start = Instant::now();
        let mut recovery = Recovery::default();
        recovery.confirm(start);
        assert_eq!(recovery.receive(start + ms(1)), None, "nothing was lost");
        recovery.lose(start + ms(100));
        assert_eq!(
            recovery.receive(start + ms(150)),
            None,
            "not subscribed yet"
        );
        // Lost again on the way back.
        recovery.confirm(start + ms(200));
        recovery.lose(start + ms(300));
        recovery.confirm(start + ms(400));
        assert_eq!(recovery.receive(start + ms(450)), Some(ms(350)));
        assert_eq!(recovery.receive(start + ms(460)), None, "once");
        assert_eq!(recovery.end(None), End::Settled);
    }

    #[test]
    fn who_is_not_back_at_the_end_is_open() {
        let start = Instant::now();
        let lost = || {
            let mut recovery = Recovery::default();
            recovery.lose(start);
            recovery
        };
        assert_eq!(lost().end(Some(start)), End::Open, "not subscribed");
        let confirmed = || {
            let mut recovery = lost();
            recovery.confirm(start + ms(70));
            recovery
        };
        assert_eq!(
            confirmed().end(None),
            End::Open,
            "there was something to receive"
        );
        assert_eq!(confirmed().end(Some(start + ms(71))), End::Open);
        assert_eq!(confirmed().end(Some(start + ms(70))), End::Back(ms(70)));
    }
}
