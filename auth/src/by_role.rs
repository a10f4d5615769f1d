//! One authenticator for the clients, one for the cluster's own servers.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Authenticated, Authenticator, Credentials, Refusal, Role};

/// Asks the authenticator that is in charge of the role.
#[derive(Debug, Clone)]
pub struct ByRole {
    /// In charge of clients.
    pub clients: Arc<dyn Authenticator>,
    /// In charge of servers and hubs.
    pub servers: Arc<dyn Authenticator>,
}

#[async_trait]
impl Authenticator for ByRole {
    async fn authenticate(
        &self,
        role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        let authenticator = if role.is_server() {
            &self.servers
        } else {
            &self.clients
        };
        authenticator.authenticate(role, credentials).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AllowAll, Cluster, ClusterSecret, SharedSecret, Side, suite::Subject};
    use std::time::SystemTime;

    const CLUSTER: &str = "cluster cluster cluster";
    const CLIENTS: &str = "clients clients clients";

    fn cluster_secret() -> ClusterSecret {
        ClusterSecret::parse(CLUSTER).expect("long enough")
    }

    #[tokio::test]
    async fn passes_the_suite() {
        let clients = SharedSecret::new(&CLIENTS.into());
        let subject = Subject {
            authenticator: Arc::new(ByRole {
                clients: Arc::new(clients),
                servers: Arc::new(Cluster::new(cluster_secret())),
            }),
            roles: &Role::ALL,
            open: false,
            secrets: vec![CLUSTER, CLIENTS],
            upgrade_token: Box::new(|role| {
                if role.is_server() {
                    cluster_secret().uplink_token(role, SystemTime::now())
                } else {
                    CLIENTS.into()
                }
            }),
            packet_body: Box::new(|role, link| {
                if role.is_server() {
                    cluster_secret().link_proof(Side::Dialer, link).to_vec()
                } else {
                    CLIENTS.into()
                }
            }),
        };
        subject.check().await;
    }

    #[tokio::test]
    async fn open_doors_for_clients_stay_closed_for_servers() {
        let authenticator = ByRole {
            clients: Arc::new(AllowAll),
            servers: Arc::new(Cluster::new(cluster_secret())),
        };
        let link = crate::Link::default();
        let credentials = Credentials::Packet {
            alias: 0,
            body: b"",
            link: &link,
        };
        let client = authenticator.authenticate(Role::Client, credentials).await;
        assert!(client.is_ok());
        let server = authenticator.authenticate(Role::Server, credentials).await;
        assert_eq!(server, Err(Refusal::Missing));
    }
}
