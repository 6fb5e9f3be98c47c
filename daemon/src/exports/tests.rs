//! Who gets what: real pool, real server, real client; only the names are made up here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::cinder::{IoLimits, Rate};
use api::clock::Clock;
use api::server::ExportControl;
use nbd::{Address, Client, Exports, Fua, OpenError, Principal, Server, ServerOptions, Uri};
use store::disk::RealIo;
use store::{DomainId, Durability, OpenOptions, Packing, SnapshotId, Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::{Attached, Candidate, Directory, Listed, Target, VolumeExports};

const PATIENCE: Duration = Duration::from_secs(30);
const SIZE: u64 = 4 << 20;
const VOLUME: Uuid = Uuid::from_u128(0x11);
const SNAPSHOT: Uuid = Uuid::from_u128(0x22);
const ATTACHMENT: Uuid = Uuid::from_u128(0x33);
const TOKEN: &str = "7f1c2e9a5b0d4c8e9f3a6b2d1e0c4f58";

/// One volume called `web` in project `p`, attached under `TOKEN` while the flag is set.
#[derive(Clone)]
struct Names {
    attached: Arc<Mutex<bool>>,
    limits: Arc<Mutex<IoLimits>>,
    store: Store,
}

impl Directory for Names {
    fn attached(&self, token: &str) -> Option<Attached> {
        let live = *self.attached.lock().unwrap() && token == TOKEN;
        live.then_some(Attached {
            attachment: ATTACHMENT,
            volume: VOLUME,
            read_only: false,
        })
    }
    fn limits(&self, _volume: Uuid) -> IoLimits {
        *self.limits.lock().unwrap()
    }
    fn volumes(&self) -> Vec<Listed> {
        vec![Listed {
            id: VOLUME,
            name: "web".to_owned(),
            project: "p".to_owned(),
        }]
    }
    fn store_of(&self, target: Target) -> Option<Store> {
        let known = [Target::Volume(VOLUME), Target::Snapshot(SNAPSHOT)];
        known.contains(&target).then(|| self.store.clone())
    }
    fn volumes_named(&self, name: &str) -> Vec<Candidate> {
        let found = self
            .volumes()
            .into_iter()
            .filter(|volume| volume.name == name);
        found
            .map(|Listed { id, project, .. }| Candidate { id, project })
            .collect()
    }
    fn projects(&self, text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }
}

struct Fixture {
    names: Names,
    exports: Arc<VolumeExports>,
    server: Server,
    tcp: SocketAddr,
    dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        memory_bytes: 64 << 20,
        ..OpenOptions::default()
    };
    let io = Arc::new(RealIo::new());
    let store = Store::open(io, &dir.path().join("pool"), options).unwrap();
    let spec = VolumeSpec {
        size_bytes: SIZE,
        domain: DomainId(Uuid::nil()),
        packing: Packing::Background,
        encryption: store::Encryption::None,
    };
    store.create_volume(VolumeId(VOLUME), spec).unwrap();
    let volume = store.volume(VolumeId(VOLUME)).unwrap();
    volume.write(4096, &[7; 4096], Durability::Durable).unwrap();
    let pair = (SnapshotId(SNAPSHOT), VolumeId(VOLUME));
    store.create_snapshots(&[pair]).unwrap();
    let own_uid = rustix::process::geteuid().as_raw();
    let exports = Arc::new(VolumeExports::new(own_uid, Clock::system()));
    let names = Names {
        attached: Arc::default(),
        limits: Arc::default(),
        store,
    };
    let mut server = Server::new(exports.clone(), ServerOptions::default());
    let tcp = server.listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    server.listen_unix(&dir.path().join("s"), 0o600).unwrap();
    Fixture {
        names,
        exports,
        server,
        tcp,
        dir,
    }
}

impl Fixture {
    fn connect(&self) {
        self.exports.connect(Box::new(self.names.clone()));
    }

    fn over_tcp(&self, export: &str) -> Result<Client, nbd::Error> {
        let address = Address::Tcp {
            host: self.tcp.ip().to_string(),
            port: self.tcp.port(),
        };
        let export = export.to_owned();
        Client::open(&Uri { address, export })
    }

    fn over_unix(&self, export: &str) -> Result<Client, nbd::Error> {
        let address = Address::Unix(self.dir.path().join("s"));
        let export = export.to_owned();
        Client::open(&Uri { address, export })
    }
}

#[test]
fn over_tcp_only_live_attachments_exist() {
    let fixture = fixture();
    assert!(
        fixture.over_tcp(TOKEN).is_err(),
        "before the catalogue is open"
    );
    fixture.connect();
    assert!(fixture.over_tcp(TOKEN).is_err(), "before it is attached");
    *fixture.names.attached.lock().unwrap() = true;
    for refused in ["", "web", &VOLUME.to_string(), &SNAPSHOT.to_string()] {
        assert!(fixture.over_tcp(refused).is_err(), "{refused}");
    }
    let client = fixture.over_tcp(TOKEN).unwrap();
    client.write(0, &[1; 512], Fua::Yes).unwrap();
    let connections = fixture.exports.connections();
    assert_eq!(connections.len(), 1);
    assert_eq!(connections[0].attachment, Some(ATTACHMENT));
    assert_eq!(connections[0].written_bytes, 512);
    let tcp = Principal::Tcp(fixture.tcp);
    assert!(fixture.exports.list(&tcp).is_empty());
    let opened = fixture.exports.open(&tcp, TOKEN).unwrap();
    assert!(!opened.log_name.contains(TOKEN));
    drop(opened);

    *fixture.names.attached.lock().unwrap() = false;
    fixture.exports.close_export(TOKEN);
    assert!(client.write(0, &[2; 512], Fua::Yes).is_err());
    assert!(fixture.exports.connections().is_empty());
    assert!(fixture.over_tcp(TOKEN).is_err());
    drop(client);
    assert_eq!(fixture.server.shutdown(PATIENCE).cut, 0);
}

#[test]
fn operators_reach_all_by_id_and_name() {
    let fixture = fixture();
    fixture.connect();
    for name in ["web", "p/web", &VOLUME.to_string()] {
        let client = fixture.over_unix(name).unwrap();
        assert_eq!(
            (client.size_bytes(), client.read_only()),
            (SIZE, false),
            "{name}"
        );
    }
    let writer = fixture.over_unix("web").unwrap();
    writer.write(4096, &[9; 4096], Fua::No).unwrap();
    writer.flush().unwrap();
    let snapshot = fixture.over_unix(&SNAPSHOT.to_string()).unwrap();
    assert!(snapshot.read_only());
    let mut found = [0; 8192];
    snapshot.read(0, &mut found).unwrap();
    assert_eq!((found[0], found[4096]), (0, 7));
    writer.read(0, &mut found).unwrap();
    assert_eq!((found[0], found[4096]), (0, 9));
    assert!(fixture.over_unix(TOKEN).is_err());
    let listed = Client::list(&Address::Unix(fixture.dir.path().join("s"))).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, VOLUME.to_string());
    drop((writer, snapshot));
    fixture.server.shutdown(PATIENCE);
}

#[test]
fn other_users_are_turned_away() {
    let fixture = fixture();
    fixture.connect();
    let other = Principal::Unix {
        uid: 65534,
        gid: 0,
        pid: 1,
    };
    let refused = fixture.exports.open(&other, "web").map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::Refused(_)));
    assert!(fixture.exports.list(&other).is_empty());
    fixture.server.shutdown(PATIENCE);
}

#[test]
fn exports_of_attachments_are_held_to_limits_that_may_change_meanwhile() {
    let fixture = fixture();
    fixture.connect();
    *fixture.names.attached.lock().unwrap() = true;
    // One request is there at first and one may borrow: the third waits for a second, and fifty
    // would for most of a minute.
    let slow = IoLimits {
        read_iops: Some(Rate {
            per_s: 1,
            burst_per_s: None,
        }),
        ..IoLimits::default()
    };
    *fixture.names.limits.lock().unwrap() = slow;
    let client = fixture.over_tcp(TOKEN).unwrap();
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        client.read(0, &mut [0; 512]).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(900));
    *fixture.names.limits.lock().unwrap() = IoLimits::default();
    fixture.exports.limits_changed();
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        client.read(0, &mut [0; 512]).unwrap();
    }
    assert!(begun.elapsed() < PATIENCE);
    drop(client);
    fixture.server.shutdown(PATIENCE);
}
