//! Who a client is: nobody, the bearer of a token, or whoever its owner says at the moment.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::session::{Input, Secret, TokenRequest, TokenSource, TokenUnavailable};

/// Who we are: shown to the coordinator at the upgrade and to the server as AUTH.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// The bearer of this token.
    Token(Arc<SecretString>),
    /// The bearer of the token that this gives when it is asked.
    Provider(TokenProvider),
}

/// Gives a token whenever one is needed; see [`crate::Config::with_token_provider`].
#[derive(Clone)]
pub struct TokenProvider(Arc<dyn Fn() -> Answer + Send + Sync>);

/// `None`: the reason is logged.
type Answer = Pin<Box<dyn Future<Output = Option<SecretString>> + Send>>;

impl TokenProvider {
    /// From a function that gives a future that gives a token.
    pub fn new<F, R, T, E>(provide: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<SecretString>,
        E: fmt::Display,
    {
        Self(Arc::new(move || {
            let answer = provide();
            Box::pin(async move {
                match answer.await {
                    Ok(token) => Some(token.into()),
                    Err(error) => {
                        tracing::warn!(%error, "the token provider has no token");
                        None
                    }
                }
            })
        }))
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProvider").finish_non_exhaustive()
    }
}

impl Credentials {
    /// What the session needs to know of it.
    pub(crate) fn source(&self) -> TokenSource {
        match self {
            Self::None => TokenSource::default(),
            Self::Token(token) => TokenSource::Fixed(secret(token)),
            Self::Provider(_) => TokenSource::Asked,
        }
    }

    pub(crate) const fn provider(&self) -> Option<&TokenProvider> {
        match self {
            Self::Provider(provider) => Some(provider),
            _ => None,
        }
    }
}

/// Answers one client's questions until `stop`, or until nobody is left to ask or to be told. A
/// question takes the place of the one before.
pub(crate) async fn run<T, F>(
    provider: TokenProvider,
    mut questions: mpsc::Receiver<TokenRequest>,
    tell: T,
    stop: CancellationToken,
) where
    T: Fn(Input) -> F,
    F: Future<Output = bool>,
{
    let mut asked = None;
    loop {
        let request = match asked.take() {
            Some(request) => request,
            None => tokio::select! {
                question = questions.recv() => match question {
                    Some(request) => request,
                    None => return,
                },
                () = stop.cancelled() => return,
            },
        };
        let answer = timeout(ANSWER_TIMEOUT, (provider.0)());
        let answer = tokio::select! {
            answer = answer => answer.ok().flatten(),
            question = questions.recv() => match question {
                Some(newer) => {
                    asked = Some(newer);
                    continue;
                }
                None => return,
            },
            () = stop.cancelled() => return,
        };
        let result = answer.as_ref().map(secret).ok_or(TokenUnavailable);
        if !tell(Input::Token { request, result }).await {
            return;
        }
    }
}

/// For the session, which shows it to whom it is meant for.
pub(crate) fn secret(token: &SecretString) -> Secret {
    Secret::new(token.expose_secret().as_bytes().to_vec())
}

/// As long as the session waits: it asks again later.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
