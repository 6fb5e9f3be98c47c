//! The client against the server.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::thread;

use nbd::{Client, Errno, Error, Fua, MemoryDevice, Principal, ZeroFlags};

use crate::fixture::{Fixture, SIZE};

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8 ^ seed).collect()
}

#[test]
fn all_requests_do_what_they_say() {
    let fixture = Fixture::new();
    let client = fixture.client();
    assert_eq!(client.size_bytes(), SIZE);
    assert_eq!(client.description(), "the disk disk");
    assert!(!client.read_only() && client.can_multi_conn() && client.knows_allocation());
    let data = pattern(300_001, 7);
    client.write(1_000_003, &data, Fua::No).unwrap();
    client.write(5 << 20, &data, Fua::Yes).unwrap();
    client.flush().unwrap();
    let mut read = vec![0; data.len()];
    client.read(1_000_003, &mut read).unwrap();
    assert_eq!(read, data);
    client
        .zero(5 << 20, 1 << 20, ZeroFlags::default(), Fua::No)
        .unwrap();
    client.read(5 << 20, &mut read).unwrap();
    assert!(read.iter().all(|byte| *byte == 0));
    client.trim(0, SIZE, Fua::Yes).unwrap();
    client.cache(0, SIZE).unwrap();
    let all = client.block_status(0, SIZE).unwrap();
    assert!(all.len() == 1 && all[0].length == SIZE && all[0].hole && all[0].zero);
}

#[test]
fn large_transfers_are_cut_into_requests() {
    let fixture = Fixture::new();
    let client = fixture.client();
    let data = pattern((40 << 20) + 13, 9);
    client.write(11, &data, Fua::No).unwrap();
    let mut read = vec![1; data.len()];
    client.read(11, &mut read).unwrap();
    assert!(read == data);
}

#[test]
fn errors_carry_the_servers_words() {
    let fixture = Fixture::new();
    fixture
        .disks
        .add("ro", MemoryDevice::new(SIZE).into_read_only());
    let client = fixture.client();
    let error = client.write(SIZE - 1, &[1, 2], Fua::No).unwrap_err();
    let Error::Request {
        operation: "write",
        source,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(source.errno, Errno::NoSpc);
    assert!(source.message.contains("past the end"), "{source}");

    let read_only = Client::open(&fixture.uri("ro")).unwrap();
    assert!(read_only.read_only());
    let error = read_only.write(0, &[1], Fua::No).unwrap_err();
    assert!(matches!(error, Error::Request { source, .. } if source.errno == Errno::Perm));

    let refused = Client::open(&fixture.uri("nothing")).err().unwrap();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    let nowhere = Client::connect("nbd+unix:///x?socket=/nonexistent/s")
        .err()
        .unwrap();
    assert!(matches!(nowhere, Error::Connect { .. }), "{nowhere}");
}

#[test]
fn many_threads_share_one_connection() {
    let fixture = Fixture::new();
    let client = fixture.client();
    thread::scope(|scope| {
        for worker in 0..8u8 {
            let client = &client;
            scope.spawn(move || {
                let base = u64::from(worker) << 20;
                for round in 0..200u64 {
                    let data = pattern(4096 + usize::from(worker), worker ^ round as u8);
                    client.write(base + round, &data, Fua::No).unwrap();
                    let mut read = vec![0; data.len()];
                    client.read(base + round, &mut read).unwrap();
                    assert!(read == data);
                }
            });
        }
    });
}

/// Writes with large payloads and reads of large data in both directions at once would lock up a
/// client that does not take in replies while it sends.
#[test]
fn one_thread_keeps_many_requests_in_flight() {
    let fixture = Fixture::new();
    let client = fixture.client();
    let data = pattern(1 << 20, 3);
    let mut pending = VecDeque::new();
    for round in 0..64u64 {
        pending.push_back(
            client
                .start_write((round % 32) << 20, &data, Fua::No)
                .unwrap(),
        );
        pending.push_back(
            client
                .start_read((round % 32) << 20, vec![0; 1 << 20])
                .unwrap(),
        );
        if pending.len() > 40 {
            pending.pop_front().unwrap().wait().unwrap();
        }
    }
    let last = pending.pop_back().unwrap();
    for request in pending {
        request.wait().unwrap();
    }
    assert!(last.wait().unwrap() == data);
}

#[test]
fn tcp_clients_are_known_by_their_address() {
    let mut fixture = Fixture::new();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bound = fixture.server.listen_tcp(any).unwrap();
    let client = Client::connect(&format!("nbd://{bound}/disk")).unwrap();
    client.write(0, &[9; 512], Fua::Yes).unwrap();
    let mut read = [0; 512];
    fixture.client().read(0, &mut read).unwrap();
    assert_eq!(read, [9; 512]);
    let principals = fixture.disks.principals.lock().unwrap().clone();
    assert!(principals.iter().any(|it| matches!(it, Principal::Tcp(_))));
    let pid = i32::try_from(std::process::id()).unwrap();
    assert!(
        principals
            .iter()
            .any(|it| matches!(it, Principal::Unix { pid: found, .. } if *found == pid))
    );
}

#[test]
fn listings_show_what_the_exports_list() {
    let fixture = Fixture::new();
    let listed = Client::list(&fixture.uri("").address).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "disk");
}
