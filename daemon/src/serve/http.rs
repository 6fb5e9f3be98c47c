//! HTTP listeners: a router served to a bounded number of connections, with time limits.
//!
//! When all connections are taken, no more are accepted: the kernel's queue is the back-pressure.
//! On stop, requests under way are answered and idle connections closed. With a certificate a
//! listener speaks TLS only, and within it HTTP/2 to those who ask for it by ALPN.

mod activity;
mod limits;
mod stall;
#[cfg(test)]
mod tests;
mod unread;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt};

use activity::Activity;
pub(super) use limits::Limits;

/// For the handshake of TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head and of read-ahead; far above what any client sends.
const BUFFER_BYTES: usize = 64 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// Requests at a time on a connection of HTTP/2; clients of a service have a few.
const STREAMS_MAX: u32 = 64;
/// Streams that a client may open and reset before their turn, and such that it breaks the rules
/// with, before its connection ends: the flood of resets is known from 2023.
const RESETS_MAX: usize = 32;
/// How often a silent HTTP/2 connection with requests under way is asked whether it is still there,
/// and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_LIMIT: Duration = Duration::from_secs(20);
/// After a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener with what it serves.
pub(super) struct Door {
    /// Bound and listening.
    pub(super) listener: std::net::TcpListener,
    /// What it answers.
    pub(super) app: Router,
    /// How it speaks TLS, if it does.
    pub(super) tls: Option<Arc<ServerConfig>>,
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

/// What all connections of a listener share.
#[derive(Clone)]
struct Manner {
    app: Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    stopped: watch::Receiver<bool>,
}

impl HttpServer {
    /// Serves `doors`, all within `connections_max`. Call inside the runtime.
    pub(super) fn start(
        doors: Vec<Door>,
        connections_max: usize,
        limits: Limits,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(connections_max));
        let mut tasks = JoinSet::new();
        for Door { listener, app, tls } in doors {
            let listener = TcpListener::from_std(listener)?;
            let headers = from_fn_with_state(tls.is_some(), limits::secure_headers);
            let app = app
                .layer(from_fn_with_state(limits, limits::limit_time))
                .layer(from_fn(unread::settle))
                .layer(headers);
            let manner = Manner {
                app,
                tls: tls.map(TlsAcceptor::from),
                limits,
                stopped: stopped.clone(),
            };
            tasks.spawn(accept(listener, manner, permits.clone()));
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

async fn accept(listener: TcpListener, manner: Manner, permits: Arc<Semaphore>) {
    let mut stopped = manner.stopped.clone();
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
                connections.spawn(manner.clone().connection(stream, peer, permit));
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

impl Manner {
    /// Serves a connection to its end.
    async fn connection(
        mut self,
        stream: TcpStream,
        peer: SocketAddr,
        _permit: OwnedSemaphorePermit,
    ) {
        // Without it answers would only be later.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::default());
        let stream = stall::Stream::new(stream, self.limits.silence, activity.clone());
        let Some(tls) = self.tls.take() else {
            return self.serve_http1(stream, peer, activity).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream));
        let stream = tokio::select! {
            () = told(&mut self.stopped) => return,
            accepted = handshake => match accepted {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake"),
                Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
            },
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.serve_http2(stream, peer, activity).await,
            _ => self.serve_http1(stream, peer, activity).await,
        }
    }

    async fn serve_http1<S>(mut self, stream: S, peer: SocketAddr, activity: Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let app = service(self.app, peer, activity);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(BUFFER_BYTES)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut self.stopped) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        tell(peer, ended);
    }

    async fn serve_http2<S>(mut self, stream: S, peer: SocketAddr, activity: Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let app = service(self.app, peer, activity.clone());
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(BUFFER_BYTES as u32)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(RESETS_MAX)
            .max_send_buf_size(BUFFER_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_LIMIT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return tell(peer, ended),
            () = told(&mut self.stopped) => {}
            () = activity.without_requests(self.limits.head) => {
                if !activity.has_begun() {
                    return tracing::debug!(%peer, "HTTP/2 connection without a request");
                }
            }
        }
        // What is under way, be it a long answer, is brought to its end.
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection => tell(peer, ended),
            () = activity.stillness(self.limits.silence) => {
                tracing::debug!(%peer, "the other side of an HTTP/2 connection does not read");
            }
        }
    }
}

/// The app for a connection.
fn service(
    app: Router,
    peer: SocketAddr,
    activity: Arc<Activity>,
) -> impl Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future: Future<Output = Result<Response, Infallible>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    tower::service_fn(move |mut request: Request<Incoming>| {
        // Failed logins are counted by address.
        request.extensions_mut().insert(ConnectInfo(peer));
        let (app, activity) = (app.clone(), activity.clone());
        async move {
            let _work = activity.begin();
            app.oneshot(request).await
        }
    })
}

fn tell(peer: SocketAddr, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection ended");
    }
}
