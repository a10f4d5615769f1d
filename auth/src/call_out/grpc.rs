//! Asking by gRPC.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use http::{HeaderValue, Uri, uri::PathAndQuery};
use secrecy::SecretString;
use tonic::{
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{
    Answer, Question, answer,
    generated::{
        AuthenticateRequest, AuthenticateResponse, Place, Role, authenticate_response as response,
    },
};
use crate::{
    Refusal,
    remote::{Address, BadAddress, Trouble, Trust, bearer},
};

/// A service at an address.
#[derive(Debug, Clone)]
pub struct Grpc {
    endpoint: Endpoint,
    trust: Trust,
    secret: Option<Arc<SecretString>>,
    /// Made when it is first used: it wants a runtime around it.
    channel: Arc<OnceLock<Channel>>,
}

impl Grpc {
    pub(super) fn new(
        address: &Address,
        trust: Trust,
        secret: Option<Arc<SecretString>>,
    ) -> Result<Self, BadAddress> {
        let mut parts = address.0.clone().into_parts();
        let scheme = match address.0.scheme_str() {
            Some("grpcs") => "https",
            _ => "http",
        };
        parts.scheme = scheme.parse().ok();
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(parts).map_err(|_| BadAddress::NoUrl)?;
        Ok(Self {
            endpoint: Endpoint::from(uri),
            trust,
            secret,
            channel: Arc::default(),
        })
    }

    fn channel(&self) -> Channel {
        let connect = || {
            self.endpoint
                .connect_with_connector_lazy(self.trust.http2())
        };
        self.channel.get_or_init(connect).clone()
    }

    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Trouble> {
        let asked = AuthenticateRequest {
            role: match question.role {
                crate::Role::Client => Role::Client,
                crate::Role::Server => Role::Server,
                crate::Role::Hub => Role::Hub,
            }
            .into(),
            place: question
                .alias
                .map_or(Place::Coordinator, |_| Place::Commserver)
                .into(),
            token: question.token.to_vec().into(),
            alias: question.alias.unwrap_or_default(),
        };
        let mut request = tonic::Request::new(asked);
        if let Some(secret) = &self.secret {
            let header: HeaderValue = bearer(secret).ok_or(Trouble::Connection)?;
            let value = AsciiMetadataValue::try_from(header.as_bytes());
            let mut value = value.map_err(|_| Trouble::Connection)?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        let mut grpc =
            tonic::client::Grpc::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX);
        grpc.ready().await.map_err(|error| Trouble::of(&error))?;
        let codec: ProstCodec<AuthenticateRequest, AuthenticateResponse> = ProstCodec::default();
        let path = PathAndQuery::from_static(METHOD);
        let said = grpc.unary(request, path, codec).await.map_err(|status| {
            tracing::debug!(code = ?status.code(), "no answer over gRPC");
            Trouble::of(&status)
        })?;
        match said.into_inner().answer {
            Some(response::Answer::Allowed(allowed)) => answer::allowed(allowed, SystemTime::now()),
            Some(response::Answer::Refused(refused)) if refused.forbidden => {
                Ok(Err(Refusal::Forbidden))
            }
            Some(response::Answer::Refused(_)) => Ok(Err(Refusal::Invalid)),
            None => Err(Trouble::Malformed),
        }
    }
}

pub(super) const METHOD: &str = "/broker.auth.v1.Authenticator/Authenticate";

/// Two longest lists of filters.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
