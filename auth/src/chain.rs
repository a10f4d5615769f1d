//! Several authenticators, one after the other: whoever takes the credentials lets them in.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Authenticated, Authenticator, Credentials, Refusal, Role};

/// Asks one authenticator after the other until one says yes.
///
/// When none does, the answer is the one that says most: that somebody could not tell, else that
/// somebody knew the credentials and they are for another role, else that they are not valid.
#[derive(Debug, Clone)]
pub struct Chain(Arc<[Arc<dyn Authenticator>]>);

impl Chain {
    /// Of `authenticators`, asked in this order. An empty chain lets nobody in.
    #[must_use]
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>) -> Self {
        Self(authenticators.into())
    }

    /// `first`, and then `others`, if there are any.
    #[must_use]
    pub fn or_else(
        first: Arc<dyn Authenticator>,
        others: Option<Arc<dyn Authenticator>>,
    ) -> Arc<dyn Authenticator> {
        match others {
            Some(others) => Arc::new(Self::new(vec![first, others])),
            None => first,
        }
    }
}

#[async_trait]
impl Authenticator for Chain {
    async fn authenticate(
        &self,
        role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        let mut refused = None;
        for authenticator in &*self.0 {
            match authenticator.authenticate(role, credentials).await {
                Ok(authenticated) => return Ok(authenticated),
                Err(refusal) if refused.is_none_or(|said| weight(said) < weight(refusal)) => {
                    refused = Some(refusal);
                }
                Err(_) => {}
            }
        }
        Err(refused.unwrap_or(Refusal::Forbidden))
    }
}

const fn weight(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::Missing => 0,
        Refusal::Invalid => 1,
        Refusal::Forbidden => 2,
        Refusal::Unavailable => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Link, SharedSecret, suite::Subject};

    const FIRST: &str = "the first one's secret";
    const SECOND: &str = "the second one's secret";

    fn two() -> Chain {
        let door = |secret: &str| -> Arc<dyn Authenticator> {
            Arc::new(SharedSecret::new(&secret.into()))
        };
        Chain::new(vec![door(FIRST), door(SECOND)])
    }

    #[tokio::test]
    async fn passes_the_suite_by_each_of_its_links() {
        for secret in [FIRST, SECOND] {
            let subject = Subject {
                authenticator: Arc::new(two()),
                roles: &[Role::Client],
                open: false,
                secrets: vec![FIRST, SECOND],
                upgrade_token: Box::new(move |_| secret.into()),
                packet_body: Box::new(move |_, _| secret.into()),
            };
            subject.check().await;
        }
    }

    /// Says one thing to everybody.
    #[derive(Debug)]
    struct Says(Refusal);

    #[async_trait]
    impl Authenticator for Says {
        async fn authenticate(
            &self,
            _: Role,
            _: Credentials<'_>,
        ) -> Result<Authenticated, Refusal> {
            Err(self.0)
        }
    }

    async fn answer(refusals: &[Refusal]) -> Result<Authenticated, Refusal> {
        let links = refusals
            .iter()
            .map(|refusal| -> Arc<dyn Authenticator> { Arc::new(Says(*refusal)) });
        let link = Link::default();
        let credentials = Credentials::Packet {
            alias: 0,
            body: b"x",
            link: &link,
        };
        let chain = Chain::new(links.collect());
        chain.authenticate(Role::Client, credentials).await
    }

    #[tokio::test]
    async fn the_refusal_that_says_most_is_the_answer() {
        use Refusal::{Forbidden, Invalid, Missing, Unavailable};
        for (said, expected) in [
            (&[Missing, Invalid][..], Invalid),
            (&[Invalid, Forbidden, Missing], Forbidden),
            (&[Unavailable, Forbidden, Invalid], Unavailable),
            (&[Invalid, Unavailable], Unavailable),
            (&[], Forbidden),
        ] {
            assert_eq!(answer(said).await, Err(expected), "{said:?}");
        }
    }
}
