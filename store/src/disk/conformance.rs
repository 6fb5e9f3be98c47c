//! The simulated disk answers as the real one does, whatever is asked of both.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::Strategy;
use proptest::{collection, prop_assert_eq, prop_oneof, proptest};

use super::sim::SimIo;
use super::{Caching, Create, File, Io, RealIo};

const NAMES: [&str; 3] = ["a", "b", "folder/c"];
/// Beyond the two blocks that most operations touch, and no multiple of a block.
const MAX_OFFSET: u64 = 10_000;

#[derive(Clone, Debug)]
enum Step {
    Open(usize, u8),
    Rename(usize, usize),
    Remove(usize),
    List(bool),
    CreateDir,
    Write(u64, usize, u8),
    Read(u64, usize),
    SetLen(u64),
    Allocate(u64, u64),
    Punch(u64, u64),
    Lock,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let offset = || 0..MAX_OFFSET;
    prop_oneof![
        3 => (name(), 0u8..3).prop_map(|(name, create)| Step::Open(name, create)),
        1 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name().prop_map(Step::Remove),
        1 => proptest::bool::ANY.prop_map(Step::List),
        1 => proptest::strategy::Just(Step::CreateDir),
        4 => (offset(), 0usize..6000, 1u8..).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        4 => (offset(), 0usize..6000).prop_map(|(at, len)| Step::Read(at, len)),
        1 => offset().prop_map(Step::SetLen),
        2 => (offset(), offset()).prop_map(|(at, len)| Step::Allocate(at, len)),
        2 => (offset(), offset()).prop_map(|(at, len)| Step::Punch(at, len)),
        1 => proptest::strategy::Just(Step::Lock),
        1 => proptest::strategy::Just(Step::Drop),
    ]
}

/// A disk, its root, and the handle that file operations use.
struct Side {
    io: Box<dyn Io>,
    root: PathBuf,
    file: Option<Arc<dyn File>>,
}

impl Side {
    fn path(&self, name: usize) -> PathBuf {
        self.root.join(NAMES[name])
    }

    /// Runs a step; what it answers is text, so that both sides compare.
    fn run(&mut self, step: &Step) -> Result<String, ErrorKind> {
        self.run_names(step).map_err(|error| error.kind())
    }

    fn run_names(&mut self, step: &Step) -> io::Result<String> {
        match *step {
            Step::Open(name, create) => {
                let create = [Create::Never, Create::New, Create::IfMissing][usize::from(create)];
                self.file = Some(self.io.open(&self.path(name), create, Caching::Buffered)?);
            }
            Step::Rename(from, to) => self.io.rename(&self.path(from), &self.path(to))?,
            Step::Remove(name) => self.io.remove(&self.path(name))?,
            Step::CreateDir => self.io.create_dir(&self.root.join("folder"))?,
            Step::List(root) => {
                let folder = if root { "." } else { "folder" };
                let path: PathBuf = self.root.join(folder).components().collect();
                return Ok(format!("{:?}", self.io.list(&path)?));
            }
            Step::Drop => self.file = None,
            ref other => {
                return self
                    .file
                    .as_ref()
                    .map_or(Ok(String::new()), |file| run_file(&**file, other));
            }
        }
        Ok(String::new())
    }
}

fn run_file(file: &dyn File, step: &Step) -> io::Result<String> {
    match *step {
        Step::Write(at, len, byte) => file.write_at(&vec![byte; len], at)?,
        Step::Read(at, len) => {
            let mut bytes = vec![0xEE; len];
            file.read_at(&mut bytes, at)?;
            return Ok(format!("{bytes:?}"));
        }
        Step::SetLen(len) => file.set_len(len)?,
        Step::Allocate(at, len) => file.allocate(at, len)?,
        Step::Punch(at, len) => file.punch(at, len)?,
        Step::Lock => file.lock()?,
        _ => {}
    }
    Ok(file.len()?.to_string())
}

proptest! {
    #[test]
    fn simulated_and_real_disk_agree(steps in collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let mut real = Side { io: Box::new(RealIo), root, file: None };
        let mut sim = Side { io: Box::new(SimIo::new(1)), root: Path::new("/").into(), file: None };
        for step in &steps {
            prop_assert_eq!(real.run(step), sim.run(step), "{:?}", step);
        }
    }
}
