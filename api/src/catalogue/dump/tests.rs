//! Dumps on a simulated disk: damaged, missing and of a newer program.

use std::path::Path;

use store::disk::sim::SimIo;
use store::disk::{Caching, Create, Io};

use super::{dump_folder, name, numbers, rebuild};
use crate::catalogue::{Catalogue, ErrorKind, Options, Query, Record, Result, View};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Note {
    id: String,
    text: String,
}

impl Record for Note {
    const TABLE: &'static str = "notes";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }
}

const PATH: &str = "/catalogue.redb";

fn open(io: &SimIo) -> Result<Catalogue> {
    Catalogue::open_file(io, Path::new(PATH), Options::default())
}

fn write(catalogue: &Catalogue, id: &str) {
    let note = Note {
        id: id.to_owned(),
        text: id.repeat(100),
    };
    catalogue.write(|writer| writer.put(&note)).unwrap();
}

fn ids(io: &SimIo) -> Vec<String> {
    let catalogue = open(io).unwrap();
    let notes = catalogue.read(|reader| reader.list::<Note>(&Query::all()));
    notes.unwrap().into_iter().map(|note| note.id).collect()
}

/// Two dumps, and a record that came after both.
fn dumped(io: &SimIo) {
    let catalogue = open(io).unwrap();
    for id in ["a", "b", "c"] {
        write(&catalogue, id);
        catalogue.dump(io, &dump_folder(Path::new(PATH))).unwrap();
    }
    write(&catalogue, "d");
}

fn byte(io: &SimIo, path: &Path, at: u64, change: impl Fn(u8) -> u8) {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[change(byte[0])], at).unwrap();
}

#[test]
fn it_is_as_of_the_newest_whole_dump() {
    let io = SimIo::new(1);
    dumped(&io);
    let dir = dump_folder(Path::new(PATH));
    assert_eq!(numbers(&io, &dir).unwrap(), [2, 3]);
    io.remove(Path::new(PATH)).unwrap();
    let restored = rebuild(&io, Path::new(PATH)).unwrap();
    assert_eq!((restored.notes.len(), restored.set_aside), (0, None));
    assert_eq!(ids(&io), ["a", "b", "c"]);
    let newest = dir.join(name(3));
    let len = io
        .open(&newest, Create::Never, Caching::Buffered)
        .unwrap()
        .len()
        .unwrap();
    for at in (0..len).step_by(11) {
        byte(&io, &newest, at, |byte| byte ^ 0x10);
        let restored = rebuild(&io, Path::new(PATH)).unwrap();
        assert_eq!(restored.notes.len(), 1, "byte {at}");
        assert!(restored.set_aside.is_some());
        byte(&io, &newest, at, |byte| byte ^ 0x10);
        io.remove(&restored.set_aside.unwrap()).unwrap();
    }
    assert_eq!(ids(&io), ["a", "b"]);
}

#[test]
fn a_lost_catalogue_is_not_begun_anew_over_its_dumps() {
    let io = SimIo::new(1);
    dumped(&io);
    io.remove(Path::new(PATH)).unwrap();
    for _ in 0..2 {
        let Err(error) = open(&io) else {
            panic!("it was begun anew");
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("is gone"), "{error}");
    }
    rebuild(&io, Path::new(PATH)).unwrap();
    assert_eq!(ids(&io), ["a", "b", "c"]);
    for at in 0..16 {
        byte(&io, Path::new(PATH), at, |_| 0x55);
    }
    let error = open(&io).err().expect("its start is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn without_a_dump_nothing_is_touched() {
    let io = SimIo::new(1);
    write(&open(&io).unwrap(), "a");
    let error = rebuild(&io, Path::new(PATH)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(ids(&io), ["a"]);
}

#[test]
fn a_dump_of_a_newer_program_is_refused() {
    let io = SimIo::new(1);
    dumped(&io);
    let newest = dump_folder(Path::new(PATH)).join(name(3));
    let file = io.open(&newest, Create::Never, Caching::Buffered).unwrap();
    let mut all = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut all, 0).unwrap();
    all[8] = 2;
    let end = all.len() - blake3::OUT_LEN;
    let hash = blake3::hash(&all[..end]);
    all[end..].copy_from_slice(hash.as_bytes());
    file.write_at(&all, 0).unwrap();
    let error = rebuild(&io, Path::new(PATH)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
    assert!(error.to_string().contains("version 2"), "{error}");
}
