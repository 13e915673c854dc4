//! Every rule is switched off once, alone, and the storm has to find out: a proof that it looks where it should.
//! Needs the feature `sabotage`: `cargo test -p berqenas-storm --features sabotage --test sabotage`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use berqenas_storm::sabotage::ALL;

/// Looks for at most a minute, from the first seed on.
fn finds_out(rule: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_storm"))
        .args(["--without", rule, "--minutes", "1", "--no-shrink", "--save"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "rule {rule} is off, and nobody noticed:\n{said}{}", String::from_utf8_lossy(&output.stderr));
}

macro_rules! rules {
    ($($test:ident: $rule:literal,)*) => {
        $(#[test]
        fn $test() {
            finds_out($rule);
        })*

        #[test]
        fn no_rule_is_left_out() {
            let tested = [$($rule),*];
            let missing: Vec<_> = ALL.iter().map(|(name, ..)| *name).filter(|name| !tested.contains(name)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    };
}

rules! {
    lease: "lease",
    journal_before_write: "journal-before-write",
    settle_before_plan: "settle-before-plan",
    plan_after_fence: "plan-after-fence",
    floor_before_rows: "floor-before-rows",
    marks_rounded_down: "marks-rounded-down",
    clocks_watched: "clocks-watched",
    overlap: "overlap",
    pending_keys_read: "pending-keys-read",
    quarantine_holds_keys: "quarantine-holds-keys",
    edit_times_at_origin: "edit-times-at-origin",
    ties_by_content: "ties-by-content",
    merge_in_two_steps: "merge-in-two-steps",
    rings_refused: "rings-refused",
    forgotten_changes_read_in_full: "forgotten-changes-read-in-full",
    guard: "guard",
    fence: "fence",
    token_raised: "token-raised",
    floor_sees_transactions: "floor-sees-transactions",
    versions_see_transactions: "versions-see-transactions",
    base_is_read_back: "base-is-read-back",
    both_sides_by_key: "both-sides-by-key",
    outcome_with_batch: "outcome-with-batch",
}
