//! HTTP listeners: a router served to a bounded number of connections, with time limits.
//!
//! When all connections are taken, no more are accepted: the kernel's queue is the back-pressure.
//! On stop, requests under way are answered and idle connections closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// For the head of a request, and between requests of a connection.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// For a request as a whole, body and work: the slowest waits for one bounded job step.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// The one request without that limit: an operator waits for all of the raw tier to be packed. Its
/// body is never read, and others than administrators are answered at once.
const UNLIMITED: (Method, &str) = (Method::POST, "/cinderblock/v1/reclaim");
/// Bytes of a request's head and of read-ahead; far above what any client sends.
const BUFFER_BYTES: usize = 64 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// After a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener with what it serves.
pub(super) struct Door {
    /// Bound and listening.
    pub(super) listener: std::net::TcpListener,
    /// What it answers.
    pub(super) app: Router,
}

/// Opens a listener without serving it yet.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    // The standard library sets SO_REUSEADDR, so that a restart finds its port free.
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Running listeners.
pub(super) struct HttpServer {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl HttpServer {
    /// Serves `doors`, all within `connections_max`. Call inside the runtime.
    pub(super) fn start(doors: Vec<Door>, connections_max: usize) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(connections_max));
        let mut tasks = JoinSet::new();
        for Door { listener, app } in doors {
            let listener = TcpListener::from_std(listener)?;
            let app = app.layer(from_fn(limit_time));
            tasks.spawn(accept(listener, app, permits.clone(), stopped.clone()));
        }
        Ok(Self { stop, tasks })
    }

    /// Accepts no more, lets requests end for at most `limit`, then drops the rest.
    pub(super) async fn stop(mut self, limit: Duration) {
        self.stop.send_replace(true);
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, drained).await.is_err() {
            tracing::warn!("HTTP requests were cut off");
        }
    }
}

/// Ends when the server is to stop, or is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn accept(
    listener: TcpListener,
    app: Router,
    permits: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed; if it were, nothing more would be accepted.
            let permit = permits.clone().acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let accepted = tokio::select! {
            () = told(&mut stopped) => break,
            accepted = next => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Some((permit, Ok((stream, peer)))) => {
                let connection = serve(stream, peer, app.clone(), stopped.clone(), permit);
                connections.spawn(connection);
            }
            Some((_, Err(error))) => {
                tracing::warn!(%error, "accepting an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    mut stopped: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    // Without it answers would only be later.
    let _ = stream.set_nodelay(true);
    // Failed logins are counted by address.
    let app = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection ended");
    }
}

/// Layer: ends requests that take too long, be it for a body that does not come.
async fn limit_time(request: Request, next: Next) -> Response {
    if (request.method(), request.uri().path()) == (&UNLIMITED.0, UNLIMITED.1) {
        return next.run(request).await;
    }
    match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;

    use super::{Door, HttpServer, bind};

    fn ask(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn answers_and_stops() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/", get(async || "hello"));
        let door = Door { listener, app };
        let _inside = runtime.enter();
        let server = HttpServer::start(vec![door], 2).unwrap();
        let idle = TcpStream::connect(address).unwrap();
        let answer = ask(
            address,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
            "{answer}"
        );
        let answer = ask(address, "\x16\x03\x01\x02\x00 garbage\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        runtime.block_on(server.stop(Duration::from_secs(5)));
        assert!(TcpStream::connect(address).is_err());
        drop(idle);
    }
}
