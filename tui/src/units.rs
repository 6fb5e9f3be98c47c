//! Numbers as people read them. Widths are bounded, so that columns stay aligned.

/// Bytes with a binary unit and three digits or so: `0 B`, `1023 B`, `1.50 KiB`, `12.3 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 999.5 would be printed as "1000", which is a digit too wide.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), UNITS[unit])
}

/// Bytes a second.
pub fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second.max(0.0) as u64))
}

/// A count with a decimal suffix: `950`, `1.25k`, `31.4M`.
pub fn count(number: f64) -> String {
    const UNITS: [&str; 4] = ["k", "M", "G", "T"];
    let mut value = number.max(0.0);
    if value < 999.5 {
        return format!("{value:.0}");
    }
    let mut unit = 0;
    value /= 1000.0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", three_digits(value), UNITS[unit])
}

/// How many times smaller `stored` is than `whole`: `3.2×`, or a dash when there is nothing.
pub fn ratio(whole: u64, stored: u64) -> String {
    if whole == 0 || stored == 0 {
        return "–".to_owned();
    }
    let ratio = whole as f64 / stored as f64;
    if ratio < 99.95 {
        format!("{ratio:.1}×")
    } else {
        format!("{}×", count(ratio))
    }
}

/// A time span: `42s`, `12m`, `5h 10m`, `3d 4h`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A text from the network on one line: control characters could drive the terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, plain, ratio, span};

    #[test]
    fn sizes_keep_their_width() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1023 * 1024, "1.00 MiB"),
            (10 << 30, "10.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (number, text) in cases {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn other_numbers() {
        assert_eq!(count(999.0), "999");
        assert_eq!(count(31_400_000.0), "31.4M");
        assert_eq!((ratio(0, 5), ratio(32, 10)), ("–".into(), "3.2×".into()));
        assert_eq!((span(59), span(90_061)), ("59s".into(), "1d 1h".into()));
        assert_eq!(plain("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
