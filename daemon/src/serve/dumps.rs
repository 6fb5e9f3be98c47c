//! Dumps of the catalogue while the daemon runs, and one at its end.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use api::catalogue::dump_folder;
use api::server::Services;
use store::disk::Io;

use crate::datadir::DataDir;

/// Half of the ten minutes that may be lost with the catalogue: writing one and noticing take time too.
const INTERVAL: Duration = Duration::from_secs(300);

/// The thread that writes them.
pub(super) struct Dumps {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Dumps {
    /// Writes a dump now, and another whenever the catalogue has changed and the interval is over.
    pub(super) fn start(
        services: &Services,
        data: &DataDir,
        io: &Arc<dyn Io>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (services, io) = (services.clone(), io.clone());
        let folder = dump_folder(&data.catalogue());
        let thread = thread::Builder::new()
            .name("catalogue-dump".to_owned())
            .spawn(move || keep(&services, &*io, &folder, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Writes the last dump and ends. Nothing may change the catalogue any more.
    pub(super) fn stop(self) {
        // Nobody listens when the thread has ended already.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the thread that dumps the catalogue panicked");
        }
    }
}

fn keep(services: &Services, io: &dyn Io, folder: &Path, stopped: &mpsc::Receiver<()>) {
    let catalogue = services.catalogue();
    let mut dumped = None;
    let mut dump_if_changed = || {
        let commits = catalogue.commits();
        if dumped == Some(commits) {
            return;
        }
        match catalogue.dump(io, folder) {
            Ok(()) => dumped = Some(commits),
            Err(error) => tracing::warn!(%error, "the catalogue could not be dumped"),
        }
    };
    dump_if_changed();
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        dump_if_changed();
    }
    dump_if_changed();
}
