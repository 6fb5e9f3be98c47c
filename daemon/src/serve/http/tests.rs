//! Listeners with small apps behind them: that they answer, stop, and hold their limits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{get, put};
use tokio::runtime::Runtime;

use super::{Door, HttpServer, Limits, bind};

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
    serve(app, Limits { request, silence })
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
