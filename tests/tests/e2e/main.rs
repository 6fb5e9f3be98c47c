//! The real daemon with real clients, from the outside: command line, REST, NBD, mount, crashes and
//! malice. One program, a module a subject; every test owns its directory and its ports.

mod accounts;
mod api;
mod backups;
mod bit_rot;
mod conformance;
mod daemon;
mod disk;
mod durability;
mod encryption;
mod full_disk;
mod hostile;
mod lifecycle;
mod mount;
mod nbd_clients;
mod openstack;
mod pattern;
mod readme;
mod rebuild;
mod storm;
mod tool;
