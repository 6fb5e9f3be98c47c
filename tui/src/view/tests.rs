//! The screens as text, in several sizes.

use api::types::cinder::{Snapshot, Volume, VolumeAttachment};
use api::types::native::{Event as Happening, HostTraffic, PoolSpace, Stats, VolumeStats};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw;
use crate::app::{App, Event};
use crate::theme::Theme;

const GIB: u64 = 1 << 30;

fn look(second: u64, written: u64, read: u64) -> Event {
    let pool = PoolSpace {
        logical_bytes: 260 * GIB,
        referenced_bytes: 93 * GIB + 200_000_000,
        unique_bytes: 31 * GIB,
        stored_bytes: 15 * GIB + 700_000_000,
        dead_bytes: 400 << 20,
        loose_bytes: 0,
        raw_tier_bytes: 1200 << 20,
        raw_tier_quota_bytes: 8 * GIB,
        metadata_bytes: 310 << 20,
        free_bytes: 182 * GIB,
        total_bytes: 220 * GIB,
    };
    let host = HostTraffic {
        written_bytes: written,
        read_bytes: read,
        write_ops: written >> 14,
        read_ops: read >> 15,
        flushes: second * 12,
        dedup_hit_bytes: 0,
    };
    Event::Stats(Box::new(Stats {
        at_us: second * 1_000_000,
        started_us: 0,
        version: "0.1.0".into(),
        pool,
        host,
        volumes: 4,
        snapshots: 2,
        connections: 3,
        ..Stats::default()
    }))
}

fn volume(name: &str, status: &str, size: u64) -> Volume {
    let attachment = VolumeAttachment {
        host_name: Some("compute-1".into()),
        ..VolumeAttachment::default()
    };
    let hosts = usize::from(status == "in-use");
    Volume {
        id: format!("8c2d1e7a-0000-4000-8000-{size:0>12}"),
        name: Some(name.into()),
        status: status.into(),
        size,
        created_at: "2026-11-20T08:15:00.000000".into(),
        tenant_id: Some("p1".into()),
        attachments: vec![attachment; hosts],
        ..Volume::default()
    }
}

fn lists() -> Event {
    let volumes = vec![
        volume("web", "in-use", 20),
        volume("database with a rather long name", "in-use", 200),
        volume("scratch", "available", 30),
        volume("broken\u{1b}[2J", "error", 10),
    ];
    let stats = |volume: &Volume| VolumeStats {
        id: volume.id.clone(),
        referenced_bytes: volume.size * 300_000_000,
        written_bytes: volume.size << 26,
        read_bytes: volume.size << 27,
        write_ops: volume.size * 1000,
        read_ops: volume.size * 900,
        ..VolumeStats::default()
    };
    let snapshot = |name: &str| Snapshot {
        name: Some(name.into()),
        volume_id: volumes[0].id.clone(),
        status: "available".into(),
        created_at: "2026-11-20T09:00:00.000000".into(),
        ..Snapshot::default()
    };
    Event::Volumes {
        stats: volumes.iter().map(stats).collect(),
        snapshots: vec![snapshot("tuesday"), snapshot("monday")],
        volumes,
    }
}

fn app() -> App {
    let mut app = App::new("http://127.0.0.1:8776/identity".into());
    let (mut written, mut read) = (0, 0);
    for second in 0..70_u64 {
        written += (second % 23) * 4_000_000;
        read += (second % 11) * 9_000_000;
        app.update(look(90_000 + second, written, read));
    }
    app.update(lists());
    let happened = |id: u64, kind: &str, message: &str| Happening {
        id,
        at_us: (89_000 + id * 400) * 1_000_000,
        kind: kind.into(),
        message: message.into(),
        ..Happening::default()
    };
    app.update(Event::Happened(vec![
        happened(1, "volume.created", "volume web of 20 GiB"),
        happened(2, "snapshot.created", "snapshot monday of web"),
    ]));
    app
}

fn press(app: &mut App, keys: &[KeyCode]) {
    for key in keys {
        app.update(Event::Key(KeyEvent::new(*key, KeyModifiers::NONE)));
    }
}

fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let theme = Theme { monochrome: false };
    terminal.draw(|frame| draw(frame, app, theme)).unwrap();
    terminal.backend().to_string()
}

const SIZES: [(u16, u16); 3] = [(80, 24), (160, 50), (60, 15)];

#[test]
fn overview() {
    let app = app();
    for (width, height) in SIZES {
        insta::assert_snapshot!(
            format!("overview_{width}x{height}"),
            screen(&app, width, height)
        );
    }
}

#[test]
fn volumes() {
    let mut app = app();
    press(&mut app, &[KeyCode::Char('2'), KeyCode::Char('j')]);
    for (width, height) in SIZES {
        insta::assert_snapshot!(
            format!("volumes_{width}x{height}"),
            screen(&app, width, height)
        );
    }
}

#[test]
fn details() {
    let mut app = app();
    press(
        &mut app,
        &[KeyCode::Char('2'), KeyCode::Char('G'), KeyCode::Enter],
    );
    for (width, height) in [(80, 24), (60, 15)] {
        insta::assert_snapshot!(
            format!("details_{width}x{height}"),
            screen(&app, width, height)
        );
    }
}

#[test]
fn help_filter_and_offline() {
    let mut app = app();
    press(&mut app, &[KeyCode::Char('?')]);
    insta::assert_snapshot!("help_80x24", screen(&app, 80, 24));
    insta::assert_snapshot!("help_60x15", screen(&app, 60, 15));
    press(
        &mut app,
        &[KeyCode::Esc, KeyCode::Char('/'), KeyCode::Char('w')],
    );
    insta::assert_snapshot!("filter_80x24", screen(&app, 80, 24));
    press(&mut app, &[KeyCode::Enter]);
    app.update(Event::Offline("http://127.0.0.1:1: refused".into()));
    insta::assert_snapshot!("offline_80x24", screen(&app, 80, 24));
}

#[test]
fn before_the_first_answer() {
    let app = App::new("http://127.0.0.1:8776/identity".into());
    insta::assert_snapshot!("waiting_80x24", screen(&app, 80, 24));
}

#[test]
fn no_size_makes_it_panic() {
    let mut app = app();
    for keys in [
        &[][..],
        &[KeyCode::Char('2')],
        &[KeyCode::Enter],
        &[KeyCode::Char('?')],
    ] {
        press(&mut app, keys);
        for width in (1..100).step_by(9) {
            for height in (1..30).step_by(3) {
                screen(&app, width, height);
            }
        }
    }
}
