//! An authenticator over gRPC, as a deployment would write one.

use std::{net::SocketAddr, sync::Arc};

use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Response, Status, server::UnaryService};
use tonic_prost::ProstCodec;

use super::super::generated::{
    Allowed, AuthenticateRequest, AuthenticateResponse, Refused, Role,
    authenticate_response::Answer,
};

pub(super) struct Service {
    pub(super) addr: SocketAddr,
    seen: Seen,
    _tasks: JoinSet<()>,
}

/// What stood in `authorization`, each once.
type Seen = Arc<Mutex<Vec<String>>>;

impl Service {
    pub(super) fn authorizations(&self) -> Vec<String> {
        self.seen.lock().clone()
    }
}

#[derive(Clone)]
struct Decide(Seen);

impl UnaryService<AuthenticateRequest> for Decide {
    type Response = AuthenticateResponse;
    type Future = std::future::Ready<Result<Response<AuthenticateResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<AuthenticateRequest>) -> Self::Future {
        if let Some(shown) = request.metadata().get("authorization") {
            let shown = shown.to_str().expect("text").to_owned();
            let mut seen = self.0.lock();
            if !seen.contains(&shown) {
                seen.push(shown);
            }
        }
        let asked = request.into_inner();
        let role = match asked.role() {
            Role::Client => crate::Role::Client,
            Role::Server => crate::Role::Server,
            Role::Hub => crate::Role::Hub,
            Role::Unspecified => return std::future::ready(Err(Status::invalid_argument("role"))),
        };
        let answer = if asked.token == super::token(role) {
            Answer::Allowed(Allowed {
                identity: "ann".into(),
                ..Allowed::default()
            })
        } else {
            Answer::Refused(Refused { forbidden: false })
        };
        let answer = Some(answer);
        std::future::ready(Ok(Response::new(AuthenticateResponse { answer })))
    }
}

pub(super) async fn start() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let seen = Seen::default();
    let mut tasks = JoinSet::new();
    let decide = Decide(Arc::clone(&seen));
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let decide = decide.clone();
            connections.spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let decide = decide.clone();
                    async move {
                        assert_eq!(request.uri().path(), super::super::grpc::METHOD);
                        let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                        Ok::<_, std::convert::Infallible>(grpc.unary(decide, request).await)
                    }
                });
                let connection = http2::Builder::new(TokioExecutor::new());
                drop(
                    connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    });
    Service {
        addr,
        seen,
        _tasks: tasks,
    }
}
