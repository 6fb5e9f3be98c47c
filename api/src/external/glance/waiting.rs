//! Requests of jobs, which block: a thread makes them, and the job waits for it, but neither beyond
//! its time nor when the daemon stops.

use std::future::Future;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::{Error, Glance};
use crate::jobs::JobError;
use crate::server::Services;

/// How often a job looks whether it must stop.
const LOOK: Duration = Duration::from_millis(200);
/// For the requests about an image that go before and after its bytes, with those to the Keystone.
const PATIENCE: Duration = Duration::from_secs(30);

/// The thread; it ends with the last that uses it.
pub(super) struct Thread(Option<Runtime>);

impl Thread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("glance-io")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken in drop only")
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Waiting for it is not allowed on threads of another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Glance {
    /// Waits for a request, from a job; it is given up after `limit`.
    pub(super) fn wait_for<T, F>(
        &self,
        services: &Services,
        limit: Duration,
        request: F,
    ) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let task = self.0.thread.runtime().spawn(async move {
            // Nobody waits any more if the job has given up.
            let _ = sender.send(request.await);
        });
        let begun = Instant::now();
        let given_up = loop {
            match receiver.recv_timeout(LOOK) {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Disconnected) => break Error::Away.into(),
                Err(RecvTimeoutError::Timeout) if services.is_stopping() => {
                    break JobError::interrupted();
                }
                Err(RecvTimeoutError::Timeout) if begun.elapsed() >= limit => {
                    tracing::error!(?limit, "Glance is too slow");
                    break Error::Away.into();
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        task.abort();
        Err(given_up)
    }

    /// Waits for a short request, from a job.
    pub(crate) fn wait<T, F>(
        &self,
        services: &Services,
        request: impl FnOnce(Self) -> F,
    ) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let answer = self.wait_for(services, PATIENCE, request(self.clone()))?;
        Ok(answer?)
    }
}
