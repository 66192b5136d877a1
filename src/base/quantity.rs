//! Sizes and durations as PM2's users write them. Crates for these mean something else: `bytesize` reads
//! `300M` as 300,000,000, `humantime` reads `1M` as a month.

/// Reads `200`, `"512K"`, `"1G"`: factors of 1024, as PM2; lower case, `MB` and `MiB` are accepted too.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return None,
    };
    scaled(number, factor)
}

/// Reads `1500` (milliseconds), `"500ms"`, `"3s"`, `"5m"`, `"1h"` into milliseconds.
#[must_use]
pub fn parse_millis(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    scaled(number, factor)
}

/// `1.5 GB` style, factors of 1024, for people; at most one decimal.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    for (factor, unit) in UNITS {
        if bytes >= factor {
            return if bytes.is_multiple_of(factor) {
                format!("{}{unit}", bytes / factor)
            } else {
                #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
                let value = bytes as f64 / factor as f64;
                format!("{value:.1}{unit}")
            };
        }
    }
    format!("{bytes}B")
}

/// `250ms`, `3s`, `1.5s`, `5m`, `2h`, for people.
#[must_use]
pub fn format_millis(ms: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    for (factor, unit) in UNITS {
        if ms >= factor && ms.is_multiple_of(factor) {
            return format!("{}{unit}", ms / factor);
        }
    }
    if ms >= 1_000 && ms.is_multiple_of(100) {
        return format!("{}.{}s", ms / 1_000, ms % 1_000 / 100);
    }
    format!("{ms}ms")
}

/// `40ms`, `12.0s`, `3m 2s`, `2h 5m`, `4d 1h`: how long something took, for people.
#[must_use]
pub fn format_span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{seconds}.{}s", ms % 1_000 / 100),
        60_000..3_600_000 => format!("{minutes}m {}s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

fn scaled(number: &str, factor: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value: f64 = number.parse().ok()?;
    // There is no half of a byte.
    if factor == 1 && value.fract() != 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "factors are small powers")]
    let product = value * factor as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (product.is_finite() && product < 9e15).then_some(product.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_pm2s_factors() {
        let table = [
            ("200", Some(200)),
            ("1K", Some(1024)),
            ("300M", Some(300 << 20)),
            ("1G", Some(1 << 30)),
            ("1.5G", Some(3 << 29)),
            ("200m", Some(200 << 20)),
            ("200MB", Some(200 << 20)),
            ("", None),
            ("M", None),
            ("0.5", None),
            ("1.0", Some(1)),
            ("-1", None),
            ("1T", None),
            ("99999999999999999999G", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_bytes(text), want, "{text:?}");
        }
    }

    #[test]
    fn durations_are_milliseconds_unless_they_say_otherwise() {
        let table = [
            ("1500", Some(1500)),
            ("500ms", Some(500)),
            ("3s", Some(3000)),
            ("1.5s", Some(1500)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1M", None),
            ("soon", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_millis(text), want, "{text:?}");
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let table = [
            (0, "0ms"),
            (999, "999ms"),
            (1_990, "1.9s"),
            (59_999, "59.9s"),
            (182_000, "3m 2s"),
            (7_500_000, "2h 5m"),
            (349_200_000, "4d 1h"),
        ];
        for (ms, want) in table {
            assert_eq!(format_span(ms), want);
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for ms in [0, 1, 999, 1000, 1500, 61_000, 3_600_000] {
            assert_eq!(parse_millis(&format_millis(ms)), Some(ms));
        }
        for bytes in [0, 1, 1024, 300 << 20, 1 << 30] {
            assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }
    }
}
