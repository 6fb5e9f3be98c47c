//! The `cinderblock` program: storage daemon, command line, console and mount in one binary.
//!
//! This file parses the command line and turns an error into a sentence and an exit code. It decides
//! nothing else.

mod cli;
mod config;
mod datadir;
mod directory;
mod doctor;
mod elsewhere;
mod exports;
mod log;
mod metrics;
mod private;
mod serve;
mod signals;
mod snapfs;
mod systemd;
mod tls;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(format_args!("{error:#}"));
            cli::Exit::of(&error).into()
        }
    }
}
