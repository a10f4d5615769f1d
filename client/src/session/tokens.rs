//! Who we are: a token that never changes, or one that the owner is asked for before each dial, and
//! once more for an AUTH long after it.

use std::time::{Duration, Instant};

use proto::Reason;

use super::{
    Output, Secret, Session, TokenRequest, TokenSource, TokenUnavailable,
    link::{Link, Phase},
    signalling::Signalling,
    timers::Timer,
};

/// What we have been given, and the question that is open.
#[derive(Debug)]
pub(super) struct Tokens {
    source: TokenSource,
    latest: Option<(Secret, Instant)>,
    asked: Option<TokenRequest>,
    questions: u64,
}

impl Tokens {
    pub(super) const fn new(source: TokenSource) -> Self {
        Self {
            source,
            latest: None,
            asked: None,
            questions: 0,
        }
    }

    /// The token, as long as it can be used without a question.
    fn usable(&self, now: Instant) -> Option<&Secret> {
        match (&self.source, &self.latest) {
            (TokenSource::Fixed(token), _) => Some(token),
            (TokenSource::Asked, Some((token, at))) if now <= *at + FRESH_FOR => Some(token),
            _ => None,
        }
    }
}

impl Session {
    /// Leaves the coordinator and dials it anew, as soon as there is a token to show.
    pub(super) fn dial(&mut self, now: Instant) {
        self.hang_up();
        match &self.tokens.source {
            TokenSource::Fixed(token) => {
                let token = token.clone();
                self.open_socket(token);
            }
            TokenSource::Asked => {
                self.signalling = Signalling::AwaitingToken;
                self.ask_for_token(now);
            }
        }
    }

    /// The lanes are open. An answer that has become old may have run out meanwhile: some servers
    /// appear long after the dial.
    pub(super) fn authenticate(&mut self, now: Instant) {
        if let Some(token) = self.tokens.usable(now) {
            let token = token.clone();
            self.send_auth(now, &token);
        } else {
            if let Some(link) = &mut self.link {
                link.phase = Phase::AwaitingToken;
            }
            self.ask_for_token(now);
        }
    }

    pub(super) fn handle_token(
        &mut self,
        now: Instant,
        request: TokenRequest,
        result: Result<Secret, TokenUnavailable>,
    ) {
        if self.tokens.asked != Some(request) {
            self.stats.dropped.stale += 1;
            return;
        }
        let Ok(token) = result else {
            return self.miss_token(now);
        };
        self.forget_question();
        self.tokens.latest = Some((token.clone(), now));
        if self.link_awaits_token() {
            self.send_auth(now, &token);
        }
        self.renew(&token);
        if self.signalling == Signalling::AwaitingToken {
            self.open_socket(token);
        }
    }

    /// There is no answer, or none in time.
    pub(super) fn miss_token(&mut self, now: Instant) {
        let reason = Reason::AuthUnavailable;
        self.stats.tokens_missed += 1;
        let dialing = self.signalling == Signalling::AwaitingToken;
        self.forget_question();
        self.miss_renewal(now);
        if self.link_awaits_token() {
            self.fail_attempt(now, reason);
        }
        if dialing {
            self.retry(now, reason, Duration::ZERO);
        }
    }

    /// Nobody waits for an answer any more: what comes late is not heard.
    pub(super) fn drop_idle_question(&mut self) {
        if !self.somebody_awaits_token() {
            self.forget_question();
        }
    }

    /// Whether a question is open, and somebody waits for its answer; both or neither, in order.
    pub(super) fn check_question(&self) {
        let waits = self.somebody_awaits_token();
        let asked = self.tokens.asked.is_some();
        assert!(
            waits == asked && asked == self.timers.is_set(Timer::Token),
            "who waits for a token has asked for it, and not for ever"
        );
    }

    pub(super) fn ask_for_token(&mut self, now: Instant) {
        // One answer serves all who wait.
        if self.tokens.asked.is_some() {
            return;
        }
        self.tokens.questions += 1;
        let request = TokenRequest(self.tokens.questions);
        self.tokens.asked = Some(request);
        self.timers
            .set(Timer::Token, now + self.config.token_timeout);
        self.outputs.push_back(Output::FetchToken { request });
    }

    fn forget_question(&mut self) {
        self.timers.stop(Timer::Token);
        self.tokens.asked = None;
    }

    fn somebody_awaits_token(&self) -> bool {
        self.signalling == Signalling::AwaitingToken
            || self.link_awaits_token()
            || self.renewal_awaits_token()
    }

    fn link_awaits_token(&self) -> bool {
        matches!(
            &self.link,
            Some(Link {
                phase: Phase::AwaitingToken,
                ..
            })
        )
    }
}

/// So long an answer serves without another question: from a dial to the AUTH that follows it.
const FRESH_FOR: Duration = Duration::from_secs(30);
