//! The daemon: what is started, in which order, and how it ends.
//!
//! ```text
//! start: lock, pool, NBD listeners, HTTP sockets, clouds.yaml, catalogue, services, jobs,
//!        HTTP, run.json, mount, "ready"
//! stop:  "stopping", HTTP, mount, jobs, NBD, pool, run.json, lock
//! ```
//!
//! NBD listens before the catalogue is open only to know its port; until then it opens nothing.
//! Every start is a recovery: nothing that a kill leaves behind (run.json, the socket, half of the
//! first start) is in the way of the next.

mod addresses;
mod audit;
mod backends;
mod backups;
mod credentials;
mod dumps;
mod http;
mod image;
mod mounter;
mod reload;
mod status;
mod stop;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use api::catalogue::{self, Catalogue};
use api::clock::Clock;
use api::jobs::Runner;
use api::server::{self, Backends, Parts, Services};
use rustls::ServerConfig;
use store::disk::{Io, RealIo};
use tokio::runtime::Runtime;

use crate::config::{Config, IdentityMode, ImageMode};
use crate::datadir::{DataDir, RunInfo};
use crate::directory::CatalogueDirectory;
use crate::exports::VolumeExports;
use crate::signals::{EndSignals, OnHangup};
use crate::{elsewhere, log, systemd};
use credentials::Start;
pub(crate) use credentials::password_was_reset;
use dumps::Dumps;
use http::{Door, HttpServer, Limits};
use mounter::{MountPlan, Mounter};
use reload::Reloads;
use status::Status;

/// Threads for HTTP: it only waits and shapes, the work is on the blocking pool.
const HTTP_THREADS: usize = 2;
/// Threads for blocking calls of HTTP handlers; the services bound how many they use.
const BLOCKING_THREADS: usize = 32;
/// A handshake that takes longer is no client.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Permissions of the operators' socket; who connects is checked as well.
const SOCKET_MODE: u32 = 0o600;
/// Share of the memory setting that the catalogue's cache gets.
const CATALOGUE_SHARE: u64 = 16;

/// The parts that run and must be stopped.
struct Daemon {
    data: DataDir,
    backends: Backends,
    exports: Arc<VolumeExports>,
    nbd: nbd::Server,
    http: HttpServer,
    jobs: Runner,
    dumps: Dumps,
    mounter: Option<Mounter>,
    services: Services,
}

/// Sockets of HTTP, bound but not served yet.
struct HttpSockets {
    main: std::net::TcpListener,
    classic: Option<Classic>,
    metrics: Option<std::net::TcpListener>,
}

/// The listeners on the classic ports.
struct Classic {
    identity: Option<std::net::TcpListener>,
    volume: std::net::TcpListener,
    image: Option<std::net::TcpListener>,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What keeps it from starting, or from ending in order.
pub(crate) fn run(config: &Config) -> Result<()> {
    let log = log::start(&config.log)?;
    let reloads = Reloads::open(config)?;
    let data = DataDir::new(&config.data);
    data.create()?;
    let lock = data.lock()?;
    // One that a kill left would point at nobody, or at somebody else.
    data.remove_run_info()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("http")
        .enable_all()
        .build()?;
    let signals = {
        let _inside = runtime.enter();
        EndSignals::listen_with(match reloads.is_empty() {
            true => OnHangup::End,
            false => OnHangup::Reload,
        })?
    };
    let daemon = Daemon::start(config, data, &reloads, &runtime)?;
    daemon.services.connect_logs(Arc::new(log));
    let backends = daemon.backends.clone();
    let look = move || backends.stats();
    let reload = || reloads.reload();
    let signal = runtime.block_on(stop::asked(
        signals,
        systemd::alive_interval(),
        look,
        reload,
    ));
    tracing::info!(signal, "stopping");
    systemd::stopping();
    stop::watch_over();
    let ended = daemon.stop(&runtime);
    reloads.close();
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    if ended.is_ok() {
        tracing::info!("stopped");
    }
    ended
}

impl Daemon {
    fn start(config: &Config, data: DataDir, reloads: &Reloads, runtime: &Runtime) -> Result<Self> {
        let io: Arc<dyn Io> = Arc::new(RealIo::new());
        let backends = backends::open(config, &io)?;
        let clock = Clock::of(io.clone());
        let own_uid = rustix::process::geteuid().as_raw();
        let exports = Arc::new(VolumeExports::new(own_uid, clock.clone()));
        let (nbd, nbd_address) = listen_nbd(config, &exports)?;
        let sockets = HttpSockets::bind(config)?;
        let http_address = sockets.main.local_addr()?;

        let mut settings = addresses::api_config(config, http_address, nbd_address);
        settings.backup = Some(backups::open(&config.backup, &data)?);
        settings.keystone = elsewhere::keystone(&config.identity, clock.clone())?;
        settings.glance = elsewhere::glance(&config.image, settings.keystone.as_ref())?;
        let password = first_password(config, &data, &settings)?;
        settings.scratch = data.make_scratch()?;
        let services = Services::new(Parts {
            catalogue: open_catalogue(config, &data, &io)?,
            backends: backends.clone(),
            config: settings,
            exports: exports.clone(),
            clock,
        });
        server::bootstrap(&services, &password).map_err(|fault| anyhow!("{fault:?}"))?;
        if let Some(audit) = reloads.audit() {
            services.connect_audit(audit.clone());
        }
        exports.connect(Box::new(CatalogueDirectory::new(services.clone())));
        let jobs = server::start_jobs(&services).context("starting the workers")?;

        let dumps = Dumps::start(&services, &data, &io).context("starting the dumps")?;
        let status = Status {
            services: services.clone(),
            nbd: nbd.connections().clone(),
            started: Instant::now(),
        };
        let info = run_info(config, &services, &sockets, nbd_address)?;
        let doors = sockets.doors(&services, &status, reloads.tls()?.as_ref());
        let http = {
            let _inside = runtime.enter();
            HttpServer::start(doors, config.http.max_connections, Limits::default())?
        };
        data.write_run_info(&info)?;
        let mounter = start_mounter(config, &data)?;
        tracing::info!(http = info.http, nbd = info.nbd, data = %data.path().display(), "ready");
        systemd::ready(&format!(
            "API {}, NBD {}",
            info.public_url, info.nbd_advertise
        ));
        Ok(Self {
            data,
            backends,
            exports,
            nbd,
            http,
            jobs,
            dumps,
            mounter,
            services,
        })
    }

    /// Stops in order; all of it fits in [`stop::LIMIT`].
    fn stop(self, runtime: &Runtime) -> Result<()> {
        runtime.block_on(self.http.stop(Duration::from_secs(2)));
        if let Some(mounter) = self.mounter {
            mounter.stop();
        }
        self.jobs.stop();
        // What waits for its turn would not get it any more.
        self.exports.release();
        let report = self.nbd.shutdown(Duration::from_secs(2));
        if report.cut > 0 {
            tracing::warn!(report.cut, report.stuck, "NBD connections were cut off");
        }
        self.dumps.stop();
        let closed = backends::close(&self.backends);
        drop(self.services);
        self.data.remove_run_info()?;
        closed
    }
}

/// Where clients reach Block Storage, as far as it is known before anything listens.
pub(crate) fn volume_url(config: &Config) -> String {
    addresses::api_config(config, config.http.listen, config.nbd.listen).volume_base()
}

/// The first administrator's password. Where users are elsewhere there is none, and no clouds.yaml.
fn first_password(config: &Config, data: &DataDir, settings: &server::Config) -> Result<String> {
    if settings.keystone.is_some() {
        return Ok(credentials::random());
    }
    let start = match data.catalogue().exists() {
        true => Start::Later,
        false => Start::First,
    };
    let ca = config.http.tls.ca.as_deref();
    let base = settings.identity_base();
    let password = credentials::prepare(data, start, &base, &config.region, ca)?;
    Ok(password.unwrap_or_else(credentials::random))
}

fn open_catalogue(config: &Config, data: &DataDir, io: &Arc<dyn Io>) -> Result<Catalogue> {
    let path = data.catalogue();
    let options = catalogue::Options {
        cache_bytes: (config.memory_bytes / CATALOGUE_SHARE) as usize,
    };
    let context = |error: &catalogue::Error| match error.kind() {
        catalogue::ErrorKind::Corrupt => {
            let data = data.path().display();
            format!("`cinderblock rebuild --catalogue {data}` makes the catalogue again")
        }
        _ => format!("opening the catalogue {}", path.display()),
    };
    let catalogue = Catalogue::open_file(io.as_ref(), &path, options).map_err(|error| {
        let context = context(&error);
        anyhow::Error::new(error).context(context)
    })?;
    io.sync_dir(data.path())?;
    Ok(catalogue)
}

fn listen_nbd(config: &Config, exports: &Arc<VolumeExports>) -> Result<(nbd::Server, SocketAddr)> {
    let options = nbd::ServerOptions {
        max_connections: config.nbd.max_connections,
        handshake_timeout: HANDSHAKE_LIMIT,
    };
    let mut server = nbd::Server::new(exports.clone(), options);
    let address = server.listen_tcp(config.nbd.listen)?;
    server.listen_unix(&config.nbd.socket, SOCKET_MODE)?;
    Ok((server, address))
}

impl HttpSockets {
    fn bind(config: &Config) -> Result<Self> {
        let bind = |what: &str, address: SocketAddr| {
            http::bind(address).with_context(|| format!("cannot listen on {address} ({what})"))
        };
        let classic = |port| {
            bind(
                "a classic port",
                SocketAddr::new(config.http.listen.ip(), port),
            )
        };
        let classic = match config.http.classic_ports {
            false => None,
            true => Some(Classic {
                // Where users or images are elsewhere, so is what answers on that port.
                identity: match config.identity.mode {
                    IdentityMode::BuiltIn => Some(classic(addresses::IDENTITY_PORT)?),
                    IdentityMode::Keystone => None,
                },
                volume: classic(addresses::VOLUME_PORT)?,
                image: match config.image.mode {
                    ImageMode::BuiltIn => Some(classic(addresses::IMAGE_PORT)?),
                    ImageMode::Glance => None,
                },
            }),
        };
        let metrics = config
            .metrics_listen
            .map(|address| bind("metrics.listen", address));
        Ok(Self {
            main: bind("http.listen", config.http.listen)?,
            classic,
            metrics: metrics.transpose()?,
        })
    }

    fn doors(
        self,
        services: &Services,
        status: &Status,
        tls: Option<&Arc<ServerConfig>>,
    ) -> Vec<Door> {
        let door = |listener, app| Door {
            listener,
            app,
            tls: tls.cloned(),
        };
        let main = server::router(services).merge(status::public(status));
        let mut doors = vec![door(self.main, main)];
        if let Some(classic) = self.classic {
            let identity = classic.identity;
            doors.extend(identity.map(|own| door(own, server::identity_root(services))));
            doors.push(door(classic.volume, server::volume_root(services)));
            let image = classic.image;
            doors.extend(image.map(|own| door(own, image::root(services))));
        }
        // On a loopback address only, for collectors of this machine.
        doors.extend(self.metrics.map(|listener| Door {
            listener,
            app: status::private(status),
            tls: None,
        }));
        doors
    }
}

fn run_info(
    config: &Config,
    services: &Services,
    sockets: &HttpSockets,
    nbd: SocketAddr,
) -> Result<RunInfo> {
    let told = services.config();
    let metrics = sockets
        .metrics
        .as_ref()
        .map(std::net::TcpListener::local_addr);
    Ok(RunInfo {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        http: sockets.main.local_addr()?.to_string(),
        public_url: told.public_url.clone(),
        nbd: nbd.to_string(),
        nbd_advertise: addresses::host_port(&told.nbd_host, told.nbd_port),
        nbd_socket: config.nbd.socket.clone(),
        metrics: metrics.transpose()?.map(|address| address.to_string()),
        mount: config.mount.clone(),
    })
}

fn start_mounter(config: &Config, data: &DataDir) -> Result<Option<Mounter>> {
    let plan = config.mount.as_ref().map(|dir| MountPlan {
        dir: dir.clone(),
        data: data.path().to_owned(),
        socket: config.nbd.socket.clone(),
    });
    plan.map(Mounter::start)
        .transpose()
        .context("starting the mount")
}
