//! `cinderblock scrub`: a round of scrub on a running daemon, and what it found.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use api::client::Client;
use api::types::native::{ScrubAffected, ScrubFinding, ScrubView};
use tui::units::{bytes, plain};

use super::Exit;
use super::access::{Access, failed};

/// Between two looks at a round that is waited for.
const LOOK: Duration = Duration::from_secs(1);

/// Which pool, and whether to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The backend whose pool is meant; all if not told
    pool: Option<String>,
    /// Wait until the round has ended; exit with 6 if there is damage that could not be repaired, and
    /// with 1 if the round cannot go on
    #[arg(long)]
    wait: bool,
    /// Only show how it stands
    #[arg(long, conflicts_with = "wait")]
    status: bool,
    #[command(flatten)]
    access: Access,
}

/// Asks for a round, waits if told to, and prints how it stands.
pub(crate) fn run(args: &Args) -> Result<()> {
    let client = args.access.client()?;
    let mut pools = match args.status {
        true => chosen(&client, args)?,
        false => {
            let before = chosen(&client, args)?;
            client.start_scrub(args.pool.as_deref()).map_err(failed)?;
            match args.wait {
                true => wait(&client, args, &before)?,
                false => chosen(&client, args)?,
            }
        }
    };
    pools.sort_by(|a, b| a.backend.cmp(&b.backend));
    args.access
        .show(&pools, |pools| pools.iter().map(describe).collect())?;
    match args.wait {
        true => verdict(&pools),
        false => Ok(()),
    }
}

/// What rounds that were waited for have come to.
fn verdict(pools: &[ScrubView]) -> Result<()> {
    if pools.iter().any(|pool| pool.stalled.is_some()) {
        return Err(Exit::Failure.because("scrub cannot go on"));
    }
    if pools.iter().any(|pool| pool.damaged > 0) {
        return Err(Exit::Unhealthy.because("scrub found damage that could not be repaired"));
    }
    Ok(())
}

fn chosen(client: &Client, args: &Args) -> Result<Vec<ScrubView>> {
    let mut pools = client.scrub().map_err(failed)?;
    if let Some(name) = &args.pool {
        pools.retain(|pool| pool.backend == *name);
    }
    match pools.is_empty() {
        true => Err(Exit::NotFound.because("there is no such backend")),
        false => Ok(pools),
    }
}

/// Waits until each pool has ended a round more than before, or one cannot go on.
fn wait(client: &Client, args: &Args, before: &[ScrubView]) -> Result<Vec<ScrubView>> {
    loop {
        let now = chosen(client, args)?;
        if is_over(before, &now) {
            return Ok(now);
        }
        std::thread::sleep(LOOK);
    }
}

fn is_over(before: &[ScrubView], now: &[ScrubView]) -> bool {
    let ended = |pool: &ScrubView| {
        let old = before.iter().find(|old| old.backend == pool.backend);
        old.is_none_or(|old| pool.rounds > old.rounds)
    };
    now.iter().all(ended) || now.iter().any(|pool| pool.stalled.is_some())
}

fn describe(pool: &ScrubView) -> String {
    let name = plain(&pool.backend);
    let state = match (pool.running, pool.finished_us) {
        (true, _) => format!("under way, {} read", bytes(pool.read_bytes)),
        (false, 0) => "never verified".to_owned(),
        (false, ended) => format!("verified {}", when(ended)),
    };
    let mut text = format!(
        "{name}  {state}; {} damaged, {} repaired\n",
        pool.damaged, pool.repaired
    );
    if let Some(why) = &pool.stalled {
        let _ = writeln!(text, "  cannot go on: {}", plain(why));
    }
    for finding in &pool.findings {
        text.push_str(&describe_finding(finding));
    }
    text
}

fn when(us: u64) -> String {
    let time = i64::try_from(us / 1_000_000).ok();
    let time = time.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| us.to_string(), |time| time.to_string())
}

/// A finding and what it affects, one line each.
fn describe_finding(finding: &ScrubFinding) -> String {
    let state = match finding.repaired {
        true => "repaired",
        false => "DAMAGED ",
    };
    let mut text = format!("  {state}  {}\n", plain(&finding.message));
    for part in &finding.affected {
        text.push_str(&format!("            {}\n", describe_part(part)));
    }
    if finding.more {
        text.push_str("            and more\n");
    }
    text
}

fn describe_part(part: &ScrubAffected) -> String {
    let disk = match &part.snapshot_id {
        Some(snapshot) => format!("snapshot {}", plain(snapshot)),
        None => format!("volume {}", plain(&part.volume_id)),
    };
    format!("{disk}, {} bytes at {}", part.len_bytes, part.offset)
}

#[cfg(test)]
mod tests {
    use api::types::native::{ScrubAffected, ScrubFinding, ScrubView};

    use super::{describe, is_over, verdict};
    use crate::cli::Exit;

    fn pool(backend: &str, rounds: u64) -> ScrubView {
        ScrubView {
            backend: backend.to_owned(),
            rounds,
            ..ScrubView::default()
        }
    }

    fn stalled(pool: ScrubView) -> ScrubView {
        ScrubView {
            running: true,
            stalled: Some("the disk is gone".to_owned()),
            ..pool
        }
    }

    #[test]
    fn waiting_ends_with_the_last_round_or_with_one_that_cannot_go_on() {
        let before = [pool("a", 1), pool("b", 5)];
        assert!(!is_over(&before, &before));
        assert!(!is_over(&before, &[pool("a", 2), pool("b", 5)]));
        assert!(is_over(&before, &[pool("a", 2), pool("b", 6)]));
        // The other is still under way, and nobody waits for it.
        assert!(is_over(&before, &[stalled(pool("a", 1)), pool("b", 5)]));
    }

    #[test]
    fn what_was_waited_for_decides_the_exit_code() {
        let code = |pools: &[ScrubView]| verdict(pools).err().map(|error| Exit::of(&error) as u8);
        let damaged = ScrubView {
            damaged: 1,
            ..pool("b", 2)
        };
        assert_eq!(code(&[pool("a", 2), pool("b", 2)]), None);
        assert_eq!(code(&[pool("a", 2), damaged.clone()]), Some(6));
        assert_eq!(code(&[stalled(pool("a", 1)), pool("b", 2)]), Some(1));
        // What was not looked at may be worse.
        assert_eq!(code(&[stalled(pool("a", 1)), damaged]), Some(1));
    }

    #[test]
    fn damage_is_shown_with_what_it_affects() {
        let affected = vec![ScrubAffected {
            volume_id: "v".to_owned(),
            snapshot_id: None,
            offset: 4096,
            len_bytes: 8192,
        }];
        let finding = ScrubFinding {
            message: "container 7".to_owned(),
            affected,
            more: false,
            repaired: false,
        };
        let text = describe(&ScrubView {
            backend: "pool".to_owned(),
            finished_us: 1_700_000_000_000_000,
            damaged: 1,
            findings: vec![finding],
            ..ScrubView::default()
        });
        let expected = "pool  verified 2023-11-14T22:13:20Z; 1 damaged, 0 repaired\n\
                        \x20 DAMAGED   container 7\n\
                        \x20           volume v, 8192 bytes at 4096\n";
        assert_eq!(text, expected);
    }
}
