//! Listeners with small apps behind them: that they answer, stop, and hold their limits.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{get, put};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::activity::Activity;
use super::{Door, HttpServer, Limits, Manner, bind, stall};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Served {
    runtime: Runtime,
    address: SocketAddr,
    server: HttpServer,
}

fn serve(app: Router, limits: Limits) -> Served {
    let runtime = Runtime::new().unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let door = Door {
        listener,
        app,
        tls: None,
    };
    let inside = runtime.enter();
    let server = HttpServer::start(vec![door], 4, limits).unwrap();
    drop(inside);
    Served {
        runtime,
        address,
        server,
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn ask(address: SocketAddr, text: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(text.as_bytes()).unwrap();
    rest(stream)
}

#[test]
fn answers_and_stops() {
    let app = Router::new().route("/", get(async || "hello"));
    let served = serve(app, Limits::default());
    let idle = TcpStream::connect(served.address).unwrap();
    let answer = ask(
        served.address,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
    assert!(answer.contains("x-content-type-options: nosniff"));
    assert!(!answer.contains("strict-transport-security"));
    let answer = ask(served.address, "\x16\x03\x01\x02\x00 garbage\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let stop = served.server.stop(Duration::from_secs(5));
    served.runtime.block_on(stop);
    assert!(TcpStream::connect(served.address).is_err());
    drop(idle);
}

#[test]
fn a_body_that_nobody_reads_ends_no_connection_silently() {
    let (called, calls) = std::sync::mpsc::channel();
    let refuse = move || {
        called.send(()).unwrap();
        std::future::ready("refused")
    };
    let served = serve(Router::new().route("/", put(refuse)), Limits::default());
    let head = |length: usize, more: &str| {
        format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{more}\r\n")
    };
    let mut stream = connect(served.address);
    stream.write_all(head(5, "").as_bytes()).unwrap();
    // The answer is on its way before the body is.
    calls.recv_timeout(PATIENCE).unwrap();
    let next = format!("hello{}", head(0, "Connection: close\r\n"));
    stream.write_all(next.as_bytes()).unwrap();
    let told = rest(stream);
    assert_eq!(told.matches("HTTP/1.1 200").count(), 2, "{told}");
    assert_eq!(told.matches("connection: close").count(), 1, "{told}");
    // Nobody reads so much for nothing, and who waits to be told to go on is told to go.
    for head in [head(1 << 20, ""), head(5, "Expect: 100-continue\r\n")] {
        let told = ask(served.address, &head);
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        assert!(told.contains("connection: close"), "{told}");
    }
    served.runtime.block_on(served.server.stop(PATIENCE));
}

/// Counts the bytes of a body; 500 when it breaks off.
async fn count(request: Request) -> Result<String, StatusCode> {
    let bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    let bytes = bytes.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(bytes.len().to_string())
}

fn patient_with_images(request: Duration, silence: Duration) -> Served {
    let app = Router::new()
        .route("/image/v2/images/{id}/file", put(count))
        .route("/volumes", put(count));
    let head = PATIENCE;
    serve(
        app,
        Limits {
            head,
            request,
            silence,
        },
    )
}

fn head(path: &str, length: usize) -> String {
    format!(
        "PUT {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[test]
fn an_upload_takes_longer_than_other_requests_may() {
    let limit = Duration::from_millis(300);
    let served = patient_with_images(limit, PATIENCE);
    let mut upload = connect(served.address);
    let path = "/image/v2/images/x/file";
    upload.write_all(head(path, 4).as_bytes()).unwrap();
    upload.write_all(b"ab").unwrap();
    // The same silence, sent after the upload's, ends another request: that much time has passed.
    let mut other = connect(served.address);
    other.write_all(head("/volumes", 4).as_bytes()).unwrap();
    assert!(rest(other).starts_with("HTTP/1.1 408"));
    upload.write_all(b"cd").unwrap();
    let answer = rest(upload);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with('4'), "{answer}");
}

#[test]
fn an_upload_that_falls_silent_ends() {
    let served = patient_with_images(PATIENCE, Duration::from_millis(200));
    let mut upload = connect(served.address);
    let path = "/image/v2/images/x/file";
    upload.write_all(head(path, 4).as_bytes()).unwrap();
    upload.write_all(b"ab").unwrap();
    let answer = rest(upload);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn who_does_not_read_an_answer_loses_the_connection() {
    // More than the kernel keeps for both sides.
    const BYTES: usize = 64 << 20;
    let app = Router::new().route("/", get(async || Body::from(vec![0; BYTES])));
    let limits = Limits {
        head: PATIENCE,
        request: PATIENCE,
        silence: Duration::from_millis(200),
    };
    let served = serve(app, limits);
    let mut stream = connect(served.address);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    // The answer is under way.
    stream.read_exact(&mut [0; 16]).unwrap();
    // Ends within its limit only when no connection is left.
    let stop = served.server.stop(PATIENCE);
    let stopping = std::time::Instant::now();
    served.runtime.block_on(stop);
    assert!(stopping.elapsed() < PATIENCE);
    let mut answer = Vec::new();
    // The end may be a reset, as bytes were under way.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < BYTES);
}

/// An HTTP/2 connection on which `client` does what it wants; ends when the server has had enough.
async fn over_http2<F: Future<Output = ()>>(app: Router, client: impl FnOnce(DuplexStream) -> F) {
    let limits = Limits {
        head: Duration::from_secs(1),
        request: PATIENCE,
        silence: Duration::from_millis(300),
    };
    let (stop, stopped) = watch::channel(false);
    let manner = Manner {
        app,
        tls: None,
        limits,
        stopped,
    };
    let (near, far) = tokio::io::duplex(64 << 10);
    let activity = Arc::new(Activity::default());
    let stream = stall::Stream::new(near, PATIENCE, activity.clone());
    let peer = "192.0.2.1:1".parse().unwrap();
    let served = manner.serve_http2(stream, peer, activity);
    let ends = async {
        tokio::join!(served, client(far));
    };
    tokio::time::timeout(PATIENCE, ends).await.unwrap();
    drop(stop);
}

#[tokio::test]
async fn an_http2_connection_without_a_request_ends() {
    // What was negotiated does not even begin.
    over_http2(Router::new(), async |mut stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
}

#[tokio::test]
async fn an_http2_answer_that_nobody_takes_ends_its_connection() {
    const BYTES: usize = 4 << 20;
    let app = Router::new().route("/", get(async || Body::from(vec![0; BYTES])));
    over_http2(app, async |stream| {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        // Pings are answered by this task; the body is never looked at.
        let connection = tokio::spawn(connection);
        let request = Request::get("http://a/").body(Body::empty()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let _ = connection.await;
        drop(answer);
    })
    .await;
}

#[tokio::test]
async fn a_slow_http2_request_is_waited_for() {
    let app = Router::new().route(
        "/",
        get(async || {
            // Several times as long as the connection may be still.
            tokio::time::sleep(Duration::from_secs(3)).await;
            "late"
        }),
    );
    over_http2(app, async |stream| {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://a/").body(Body::empty()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let bytes = axum::body::to_bytes(Body::new(answer.into_body()), 100).await;
        assert_eq!(bytes.unwrap(), "late");
    })
    .await;
}
