//! The server: listeners, limits, threads, and an orderly end.
//!
//! Each listener has a thread, which owns the threads of its connections. A listener turns clients
//! away once it has as many as it may; other listeners are not affected. A stale unix socket is
//! removed only when nobody answers on it, and at the end only if it is still ours.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Scope};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{set_socket_send_buffer_size_force, socket_peercred};
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};
use tracing::{error, info, warn};

use crate::connection;
use crate::connections::{Connections, Registered};
use crate::error::Error;
use crate::export::{Exports, Principal};

/// Clients which wait to be accepted.
const BACKLOG: i32 = 128;
/// After a failed accept, as when file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a silent peer is kept before the kernel asks whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// What a unix socket takes before its client reads it. The kernel doubles it, as its own
/// bookkeeping counts.
const SEND_BYTES: usize = 1 << 20;

/// Limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Connections of one listener at a time.
    pub max_connections: usize,
    /// From the accept to the end of the handshake.
    pub handshake_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            max_connections: 256,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Connections cut off because they did not end in time.
    pub cut: usize,
    /// Connections whose device did not return even after that; their threads are left behind.
    pub stuck: usize,
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
}

struct Shared {
    exports: Arc<dyn Exports>,
    connections: Arc<Connections>,
    options: ServerOptions,
}

struct Listener {
    socket: Arc<Socket>,
    thread: JoinHandle<()>,
    /// A unix socket's path, with the device and inode we made there.
    path: Option<(PathBuf, (u64, u64))>,
}

impl Server {
    /// A server which listens nowhere yet.
    pub fn new(exports: Arc<dyn Exports>, options: ServerOptions) -> Self {
        let connections = Arc::new(Connections::default());
        let shared = Arc::new(Shared {
            exports,
            connections,
            options,
        });
        Server {
            shared,
            listeners: Vec::new(),
        }
    }

    /// Serves clients of a TCP address; port 0 picks one. The address really bound.
    pub fn listen_tcp(&mut self, address: SocketAddr) -> Result<SocketAddr, Error> {
        let failed = |source| Error::Listen {
            address: address.to_string(),
            source,
        };
        let (socket, bound) = bind_tcp(address).map_err(failed)?;
        self.spawn(socket, None, format!("nbd {bound}"))
            .map_err(failed)?;
        info!(address = %bound, "NBD listens");
        Ok(bound)
    }

    /// Serves clients of a unix socket, made with the permissions of `mode`.
    pub fn listen_unix(&mut self, path: &Path, mode: u32) -> Result<(), Error> {
        let failed = |source| Error::Listen {
            address: path.display().to_string(),
            source,
        };
        let socket = bind_unix(path)?;
        // Nobody can connect between the bind and the listen, so nobody sees the wrong mode.
        let made = std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
            .and_then(|()| std::fs::symlink_metadata(path))
            .and_then(|made| socket.listen(BACKLOG).map(|()| made))
            .map_err(failed)?;
        let ours = Some((path.to_owned(), (made.dev(), made.ino())));
        self.spawn(socket, ours, "nbd unix".to_owned())
            .map_err(failed)?;
        info!(path = %path.display(), "NBD listens");
        Ok(())
    }

    /// The live connections.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.shared.connections
    }

    /// Stops: no new clients; requests already received are finished, answered and flushed.
    /// Connections which are not done within `timeout` are cut off.
    pub fn shutdown(self, timeout: Duration) -> ShutdownReport {
        let deadline = Instant::now() + timeout;
        let connections = &self.shared.connections;
        // Before the listeners close: their threads then know why accepting fails.
        connections.stop();
        for listener in &self.listeners {
            listener.close();
        }
        let cut = connections.wait_idle(deadline);
        connections.cut();
        // A connection cut off ends at once unless its device hangs.
        let stuck = if cut == 0 {
            0
        } else {
            connections.wait_idle(deadline + Duration::from_secs(1))
        };
        if stuck > 0 {
            error!(stuck, "connections hang in their device");
            return ShutdownReport { cut, stuck };
        }
        for listener in self.listeners {
            if listener.thread.join().is_err() {
                error!("a listener's thread panicked");
            }
        }
        ShutdownReport { cut, stuck }
    }

    fn spawn(
        &mut self,
        socket: Socket,
        path: Option<(PathBuf, (u64, u64))>,
        name: String,
    ) -> io::Result<()> {
        let socket = Arc::new(socket);
        let (listening, shared) = (Arc::clone(&socket), Arc::clone(&self.shared));
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || accept_loop(&listening, &shared))?;
        self.listeners.push(Listener {
            socket,
            thread,
            path,
        });
        Ok(())
    }
}

impl Listener {
    fn close(&self) {
        // This wakes the accepting thread, which then finds the server stopping.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some((path, ours)) = &self.path
            && let Ok(found) = std::fs::symlink_metadata(path)
            && (found.dev(), found.ino()) == *ours
            && let Err(error) = std::fs::remove_file(path)
        {
            warn!(path = %path.display(), %error, "socket not removed");
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, bound))
}

fn bind_unix(path: &Path) -> Result<Socket, Error> {
    let failed = |source| Error::Listen {
        address: path.display().to_string(),
        source,
    };
    let address = SockAddr::unix(path).map_err(failed)?;
    let fresh = || Socket::new(Domain::UNIX, Type::STREAM, None);
    let socket = fresh().map_err(failed)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        Err(error) => return Err(failed(error)),
        Ok(()) => return Ok(socket),
    }
    let kind = std::fs::symlink_metadata(path).map_err(failed)?.file_type();
    if !kind.is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    match fresh().and_then(|probe| probe.connect(&address)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => return Err(Error::SocketInUse(path.to_owned())),
    }
    std::fs::remove_file(path).map_err(failed)?;
    socket.bind(&address).map_err(failed)?;
    Ok(socket)
}

fn accept_loop(listening: &Socket, shared: &Shared) {
    let live = AtomicUsize::new(0);
    // The scope joins the threads of all connections before the listener's thread ends.
    thread::scope(|scope| {
        loop {
            let accepted = listening.accept();
            if shared.connections.is_stopping() {
                return;
            }
            match accepted {
                Ok((socket, address)) => welcome(scope, socket, &address, shared, &live),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!(%error, "accept failed");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    });
}

fn welcome<'scope>(
    scope: &'scope Scope<'scope, '_>,
    socket: Socket,
    address: &SockAddr,
    shared: &'scope Shared,
    live: &'scope AtomicUsize,
) {
    if live.load(Ordering::Acquire) >= shared.options.max_connections {
        warn!(
            limit = shared.options.max_connections,
            "too many connections, one turned away"
        );
        return;
    }
    let principal = match prepare(&socket, address) {
        Ok(principal) => principal,
        Err(error) => {
            warn!(%error, "connection lost at the start");
            return;
        }
    };
    let Some(registered) = shared.connections.register(principal, Arc::new(socket)) else {
        return;
    };
    live.fetch_add(1, Ordering::AcqRel);
    let thread = thread::Builder::new().name(format!("nbd {}", registered.connection.id));
    let spawned = thread.spawn_scoped(scope, move || {
        run(&registered, shared);
        live.fetch_sub(1, Ordering::AcqRel);
    });
    if let Err(error) = spawned {
        live.fetch_sub(1, Ordering::AcqRel);
        error!(%error, "no thread for a connection");
    }
}

/// Serves one client. A panic in a device ends its connection and nothing else.
fn run(registered: &Registered, shared: &Shared) {
    let connection = &registered.connection;
    let served = catch_unwind(AssertUnwindSafe(|| {
        let timeout = shared.options.handshake_timeout;
        connection::serve(
            connection,
            &shared.connections,
            shared.exports.as_ref(),
            timeout,
        );
    }));
    if served.is_err() {
        error!(connection = connection.id, "a connection's thread panicked");
    }
    // Other holders of the socket must not keep the client waiting.
    let _ = connection.socket.shutdown(Shutdown::Both);
}

/// Lets replies lie in the kernel while the client takes them, so that the next are made meanwhile.
/// TCP sees to that itself.
fn widen(socket: &Socket) {
    // The system's limit, which is below a single large reply, does not hold for root.
    if set_socket_send_buffer_size_force(socket, SEND_BYTES).is_err() {
        // What it is by default does as well.
        let _ = socket.set_send_buffer_size(SEND_BYTES);
    }
}

fn prepare(socket: &Socket, address: &SockAddr) -> io::Result<Principal> {
    match address.as_socket() {
        Some(peer) => {
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
            Ok(Principal::Tcp(peer))
        }
        None => {
            widen(socket);
            let peer = socket_peercred(socket)?;
            let pid = peer.pid.as_raw_nonzero().get();
            Ok(Principal::Unix {
                uid: peer.uid.as_raw(),
                gid: peer.gid.as_raw(),
                pid,
            })
        }
    }
}
