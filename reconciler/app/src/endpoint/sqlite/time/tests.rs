#![allow(clippy::unwrap_used)]

use berqenas_core::value::Stored;

use super::{bounds, stamp};

/// 2026-01-14T15:30:00Z.
const MOMENT: i64 = 1_768_404_600_000_000;

#[test]
fn stamps() {
    let text = |text: &str| Stored::Text(text.to_owned());
    let cases = [
        (text("2026-01-14 15:30:00"), Some(MOMENT)),
        (text("2026-01-14T15:30:00"), Some(MOMENT)),
        (text("2026-01-14T15:30:00Z"), Some(MOMENT)),
        (text("2026-01-14 15:30"), Some(MOMENT)),
        (text("2026-01-14 18:30:00+03:00"), Some(MOMENT)),
        (text("2026-01-14 18:30:00 +0300"), Some(MOMENT)),
        (text("2026-01-14T10:00:00-05:30"), Some(MOMENT)),
        (text("2026-01-14T18:30+03"), Some(MOMENT)),
        (text("2026-01-14 15:30:00.123"), Some(MOMENT + 123_000)),
        (text("2026-01-14 15:30:00.123456789"), Some(MOMENT + 123_456)),
        (text("2026-01-14 15:30:00.1234567899999Z"), Some(MOMENT + 123_456)),
        (text(" 2026-01-14 15:30:00 "), Some(MOMENT)),
        (text("2026-01-14"), Some(MOMENT - (15 * 3_600 + 30 * 60) * 1_000_000)),
        (text("1969-12-31 23:59:59.9999999"), Some(-1)),
        (text("0001-01-01 00:00:00"), Some(-62_135_596_800_000_000)),
        (Stored::Int(1_768_404_600), Some(MOMENT)),
        (Stored::Int(1_768_404_600_000), Some(MOMENT)),
        (Stored::Int(99_999_999_999), Some(99_999_999_999_000_000)),
        (Stored::Int(0), Some(0)),
        (Stored::Real(1_768_404_600.5), Some(MOMENT + 500_000)),
        (Stored::Real(2_440_588.0), Some(43_200_000_000)),
        (Stored::Real(f64::INFINITY), None),
        (Stored::Int(i64::MIN), None),
        (Stored::Int(i64::MAX), None),
        (Stored::Null, None),
        (Stored::Bytes(b"2026-01-14".to_vec()), None),
        (text(""), None),
        (text("14.01.2026 15:30"), None),
        (text("2026-02-30 00:00:00"), None),
        (text("2026-01-14 25:00:00"), None),
        (text("2026-01-14 15:30:00."), None),
        (text("2026-01-14 15:30:00 and more"), None),
        (text("2026-1-4 15:30:00"), None),
        (text("2026-01-1ş 15:30:00"), None),
        (text("2026-01-14 15:30:00+ş"), None),
    ];
    for (value, expected) in cases {
        assert_eq!(stamp(&value), expected, "{value:?}");
    }
}

#[test]
fn bounds_are_never_too_high() {
    let forms = ["2026-01-14 15:30:00", "2026-01-14 15:30", "2026-01-14T15:30:00.000", "2026-01-14T15:30:00Z"];
    let at = bounds(MOMENT);
    for form in forms {
        assert!(form >= at.text.as_str(), "{form} {at:?}");
    }
    for form in ["2026-01-14 01:30:00-14:00", "2026-01-14T18:30:00+03:00"] {
        assert!(form >= at.text_with_offset.as_str(), "{form} {at:?}");
    }
    assert!("2026-01-14" >= bounds(stamp(&Stored::Text("2026-01-14".into())).unwrap()).text.as_str());
    assert_eq!((at.seconds, at.millis), (1_768_404_600, 1_768_404_600_000));
    let julian = Stored::Real(2_461_055.145_833_333_5);
    assert!((stamp(&julian).unwrap() - MOMENT).abs() < 100 && at.julian_day < 2_461_055.0);
    for mark in [i64::MIN, i64::MAX, 0, -1] {
        let _ = bounds(mark);
    }
    assert_eq!(bounds(i64::MIN).text, "");
}
