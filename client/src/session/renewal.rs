//! New credentials for the server that we have, before the old ones end there.

use std::time::{Duration, Instant};

use super::{Secret, Session, TokenSource, link::Phase, timers::Timer};

/// How it stands with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Renewal {
    /// The server has not asked, or has what it asked for.
    #[default]
    Idle,
    /// The owner is asked for a token.
    AwaitingToken,
    /// The owner had none, and is asked again in a while.
    Pausing,
    /// AUTH is sent.
    Sent,
}

impl Session {
    /// The server asks for new credentials. Who has one token for ever has nothing newer to show,
    /// and is closed in time.
    pub(super) fn handle_refresh(&mut self, now: Instant) {
        if matches!(self.config.token, TokenSource::Asked) {
            self.ask_for_renewal(now);
        }
    }

    /// Asks the owner, whatever it answered before: that is what is about to end.
    pub(super) fn ask_for_renewal(&mut self, now: Instant) {
        self.timers.stop(Timer::Renew);
        let link = self.link.as_mut().filter(|link| link.phase == Phase::Ready);
        if let Some(link) = link {
            link.renewal = Renewal::AwaitingToken;
            self.ask_for_token(now);
        }
    }

    /// The owner has answered.
    pub(super) fn renew(&mut self, token: &Secret) {
        if let Some(link) = self.link.as_mut()
            && link.renewal == Renewal::AwaitingToken
        {
            link.renewal = Renewal::Sent;
            self.send_credentials(token);
        }
    }

    /// The owner has not. The peer goes on as long as the old credentials do.
    pub(super) fn miss_renewal(&mut self, now: Instant) {
        if let Some(link) = self.link.as_mut()
            && link.renewal == Renewal::AwaitingToken
        {
            link.renewal = Renewal::Pausing;
            self.timers.set(Timer::Renew, now + PAUSE);
        }
    }

    /// READY of a server that has taken us in before: whether it answers new credentials.
    pub(super) fn handle_renewed(&mut self) -> bool {
        let link = self.link.as_mut();
        let link = link.filter(|link| link.renewal == Renewal::Sent);
        link.is_some_and(|link| {
            link.renewal = Renewal::Idle;
            self.stats.renewals += 1;
            true
        })
    }

    pub(super) fn renewal_awaits_token(&self) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|link| link.renewal == Renewal::AwaitingToken)
    }
}

/// Until the owner is asked again: a few times within the minute that a server usually gives.
const PAUSE: Duration = Duration::from_secs(5);
