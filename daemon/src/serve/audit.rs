//! The audit log's file: a line of JSON a record, written by a thread of its own.
//!
//! Records wait in a bounded queue. When it is full, or the disk, records are lost: storage goes on,
//! as it does without its log. How many were lost is said in the log, and in the audit log itself as
//! soon as that takes lines again (`{"lost":3}`), so that a gap cannot be taken for silence.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use api::audit::{AuditLog, Record};

/// Records that may wait; some seconds' worth of what the API can do.
const QUEUE_MAX: usize = 4096;

enum Message {
    Line(Vec<u8>),
    Stop,
}

/// What the file's thread and the others share.
#[derive(Default)]
struct Shared {
    /// Since the last line that was written.
    lost: AtomicU64,
    reopen: AtomicBool,
}

/// The file.
pub(super) struct AuditFile {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl AuditFile {
    /// Opens the file to append, for its owner only if it is new.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>> {
        let file = open(path).with_context(|| format!("audit.file {}", path.display()))?;
        let (queue, lines) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            path: path.to_owned(),
            file: Box::new(file),
            shared: shared.clone(),
            broken: false,
        };
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&lines))?;
        Ok(Arc::new(Self {
            queue,
            shared,
            writer: Mutex::new(Some(thread)),
        }))
    }

    /// Has the next line go to a file newly opened, for those who move the old one away.
    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// Writes what waits, and ends.
    pub(super) fn close(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = writer.take() {
            // Its end before this is a panic, which the log has.
            let _ = self.queue.send(Message::Stop);
            let _ = thread.join();
        }
    }
}

impl AuditLog for AuditFile {
    fn record(&self, record: Record) {
        let line = serde_json::to_vec(&record).map(|mut line| {
            line.push(b'\n');
            Message::Line(line)
        });
        let sent = line.is_ok_and(|line| self.queue.try_send(line).is_ok());
        if !sent {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

struct Writer {
    path: PathBuf,
    file: Box<dyn Write + Send>,
    shared: Arc<Shared>,
    /// Whether the last write failed, perhaps in the middle of a line.
    broken: bool,
}

impl Writer {
    fn run(mut self, lines: &Receiver<Message>) {
        while let Ok(Message::Line(line)) = lines.recv() {
            if self.shared.reopen.swap(false, Ordering::Relaxed) {
                self.reopen();
            }
            let lost = self.shared.lost.load(Ordering::Relaxed);
            match self.write(lost, &line) {
                Ok(()) => {
                    self.shared.lost.fetch_sub(lost, Ordering::Relaxed);
                    if self.broken || lost > 0 {
                        tracing::warn!(lost, "the audit log goes on");
                    }
                    self.broken = false;
                }
                Err(error) => {
                    self.shared.lost.fetch_add(1, Ordering::Relaxed);
                    if !self.broken {
                        tracing::error!(%error, "the audit log loses records");
                    }
                    self.broken = true;
                }
            }
        }
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lost, "the audit log lost records");
        }
    }

    fn write(&mut self, lost: u64, line: &[u8]) -> io::Result<()> {
        let mut text = Vec::with_capacity(line.len() + 32);
        if self.broken {
            text.push(b'\n');
        }
        if lost > 0 {
            text.extend_from_slice(format!("{{\"lost\":{lost}}}\n").as_bytes());
        }
        text.extend_from_slice(line);
        self.file.write_all(&text)
    }

    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => self.file = Box::new(file),
            Err(error) => tracing::error!(%error, "the audit log stays in its old file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::sync_channel;
    use std::sync::{Arc, Mutex};

    use api::audit::{AuditLog, Record};

    use super::{AuditFile, Message, Shared, Writer};

    fn record(id: &str) -> Record {
        Record {
            time: "2026-01-01T00:00:00.000000Z".to_owned(),
            request_id: id.to_owned(),
            address: None,
            who: None,
            method: "POST".to_owned(),
            route: "/x".to_owned(),
            objects: Vec::new(),
            changes: Vec::new(),
            status: 200,
            outcome: "success",
            duration_ms: 1,
        }
    }

    #[test]
    fn lines_are_for_the_owner_and_go_to_the_new_file_after_a_move() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let old = dir.path().join("audit.log.1");
        let audit = AuditFile::open(&path).unwrap();
        audit.record(record("req-1"));
        audit.close();
        let text = std::fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["request_id"], "req-1");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Another start appends; a move is noticed when asked to.
        let audit = AuditFile::open(&path).unwrap();
        std::fs::rename(&path, &old).unwrap();
        audit.reopen();
        audit.record(record("req-2"));
        audit.close();
        assert_eq!(std::fs::read_to_string(&old).unwrap().lines().count(), 1);
        assert!(std::fs::read_to_string(&path).unwrap().contains("req-2"));
    }

    /// A disk that takes half a line and is full, until there is space again.
    struct Disk {
        full: bool,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut text = self.text.lock().unwrap();
            if !self.full {
                text.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            match bytes {
                [first, _, ..] => {
                    text.push(*first);
                    self.full = false;
                    Err(io::ErrorKind::StorageFull.into())
                }
                _ => Ok(0),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_gap_is_told_when_the_disk_has_space_again() {
        let text = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer {
            path: "/nowhere".into(),
            file: Box::new(Disk {
                full: true,
                text: text.clone(),
            }),
            shared: Arc::new(Shared::default()),
            broken: false,
        };
        let (queue, lines) = sync_channel(8);
        for line in ["1\n", "2\n", "3\n"] {
            queue.send(Message::Line(line.into())).unwrap();
        }
        queue.send(Message::Stop).unwrap();
        writer.run(&lines);
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "1\n{\"lost\":1}\n2\n3\n");
    }
}
