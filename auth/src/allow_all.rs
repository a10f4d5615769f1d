//! Everybody is let in as a client, nobody as a server. For trying things out.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Authenticated, Authenticator, Credentials, Refusal, Role};

/// Lets every client in, without a name: nothing that it claims has been checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

#[async_trait]
impl Authenticator for AllowAll {
    async fn authenticate(
        &self,
        role: Role,
        _credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        if role.is_server() {
            return Err(Refusal::Forbidden);
        }
        Ok(Authenticated::everything(Bytes::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Subject;
    use std::sync::Arc;

    #[tokio::test]
    async fn passes_the_suite() {
        let subject = Subject {
            authenticator: Arc::new(AllowAll),
            roles: &[Role::Client],
            open: true,
            secrets: vec![],
            upgrade_token: Box::new(|_| String::new()),
            packet_body: Box::new(|_, _| vec![]),
        };
        subject.check().await;
    }
}
