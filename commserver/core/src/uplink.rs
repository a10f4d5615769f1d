//! The session with the coordinator: whether there is one, and what makes the next one continue it.

use proto::{WelcomeMessage, resume};

use crate::ResumeToken;

/// Our side of the session.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    open: bool,
    resume: Option<ResumeToken>,
}

impl Uplink {
    /// Whether signals have somebody to go to.
    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) const fn open(&mut self) {
        self.open = true;
    }

    pub(crate) const fn close(&mut self) {
        self.open = false;
    }

    /// Keeps the token of this WELCOME, or none if there is none in it. Says whether what is in it
    /// can be used: one that cannot stand in a header would spoil every dial to come.
    pub(crate) fn welcome(&mut self, welcome: &WelcomeMessage) -> bool {
        self.open = true;
        let token = &welcome.resume_token;
        let good = resume::is_token(token);
        self.resume = good.then(|| ResumeToken::new(token));
        good || token.is_empty()
    }

    /// Somebody else has our alias now.
    pub(crate) fn forget_token(&mut self) {
        self.resume = None;
    }

    pub(crate) const fn resume_token(&self) -> Option<&ResumeToken> {
        self.resume.as_ref()
    }
}
