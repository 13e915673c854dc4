//! The binary as a shell sees it: help, usage errors, exit codes, streams.

use std::process::{Command, Output};

/// The binary, with none of the caller's settings.
fn berqenas(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berqenas"));
    for name in ["BERQENAS_SPECS", "BERQENAS_STATE", "BERQENAS_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_and_version_are_no_errors() {
    let check = |arguments: &[&str], part: &str| {
        let output = berqenas(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains(part), "{arguments:?}: {}", text(&output.stdout));
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    };
    check(&["--help"], "Exit codes:");
    check(&["--version"], env!("CARGO_PKG_VERSION"));
    check(&["sync", "--help"], "bidirectional");
    check(&["sync", "bidirectional", "--help"], "--dry-run");
}

#[test]
fn usage_errors_end_with_two_and_say_why() {
    let check = |arguments: &[&str], part: &str| {
        let output = berqenas(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
    };
    check(&["frobnicate"], "frobnicate");
    check(&["sync", "bidirectional"], "<NAME>");
    check(&["sync", "bidirectional", "erp", "--strategy", "newest"], "latest_wins");
    check(&["sync", "bidirectional", "erp", "--dry-run", "--trust", "cloud"], "--trust");
    check(&["sync", "prepare", "erp", "--side", "both"], "local");
    check(&["sync", "conflicts", "erp", "--date", "soon"], "2026-01-14");
    check(&["plan", "--out", "plan.json"], "<NAME>");
}

#[test]
fn programs_get_usage_errors_as_json() {
    let output = berqenas(&["--json", "sync", "bidirectional", "erp", "--strategy", "newest"]);
    assert_eq!(output.status.code(), Some(2));
    let answer = text(&output.stdout);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["error"]["kind"], "usage");
    assert!(answer["error"]["message"].as_str().unwrap().contains("newest"), "{answer}");
    assert!(text(&output.stderr).starts_with("error: "));
}

#[test]
fn a_pipe_is_given_no_colour_unless_asked() {
    let check = |color: &str, expected: bool| {
        let output = berqenas(&["--color", color, "--specs", "no-such-folder", "validate"]);
        assert_ne!(output.status.code(), Some(0));
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(all.contains('\u{1b}'), expected, "--color {color}: {all}");
    };
    check("auto", false);
    check("never", false);
    check("always", true);
}

#[test]
fn the_demo_tells_its_story_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for _ in 0..2 {
        let output = berqenas(&["demo", "--dir", folder]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let story = text(&output.stdout);
        for part in [
            "Conflict Detected:",
            "Resolution: Local wins (",
            "Sync Status: musteri_erp",
            "Conflicts: 2 (all resolved)",
            "✓ Success: 8 records",
        ] {
            assert!(story.contains(part), "{part} is missing in\n{story}");
        }
    }
    let specs = format!("{folder}/specs");
    let settled = berqenas(&["--specs", &specs, "plan", "musteri_erp", "--detailed-exitcode"]);
    assert_eq!(settled.status.code(), Some(0), "{}", text(&settled.stdout));
}
