//! Somebody to ask in tests: an HTTP server on this machine that says what a test tells it.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinSet};

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// It ends with this value.
pub(crate) struct Double {
    pub(crate) addr: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Double {
    /// Answers each request with what `says` makes of its body; `None` is never.
    pub(crate) async fn start<F, A>(says: F) -> Self
    where
        F: Fn(String) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = (u16, String)> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let noted = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (says, noted) = (says.clone(), Arc::clone(&noted));
                connections.spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        answer(request, says.clone(), Arc::clone(&noted))
                    });
                    let connection = http1::Builder::new();
                    drop(
                        connection
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self {
            addr,
            asked,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/auth", self.addr)
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().len()
    }
}

async fn answer<F, A>(
    request: Request<Incoming>,
    says: F,
    noted: Arc<Mutex<Vec<Asked>>>,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    F: Fn(String) -> A,
    A: Future<Output = (u16, String)>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let body = String::from_utf8(body.into()).expect("text");
    let authorization = head.headers.get("authorization");
    let authorization = authorization.map(|value| value.to_str().expect("text").into());
    noted.lock().push(Asked {
        authorization,
        body: body.clone(),
    });
    let (status, body) = says(body).await;
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(response)
}
