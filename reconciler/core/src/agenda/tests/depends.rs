use crate::agenda::depends::{Dependency, in_order};

/// Syncs written as `shop: stock prices`; expected is the order, or all faults.
fn check(syncs: &[&str], expected: Result<&[&str], &[&str]>) {
    let syncs: Vec<(String, Vec<String>)> = syncs
        .iter()
        .map(|text| text.split_once(':').map_or((*text, ""), |(name, on)| (name, on)))
        .map(|(name, on)| (name.to_owned(), on.split_whitespace().map(str::to_owned).collect()))
        .collect();
    match in_order(&syncs) {
        Ok(order) => assert_eq!(Ok(order.as_slice()), expected),
        Err(faults) => {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            assert_eq!(Err(told.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), expected);
        }
    }
}

#[test]
fn each_comes_after_those_it_depends_on() {
    check(&[], Ok(&[]));
    check(&["b", "a"], Ok(&["b", "a"]));
    check(&["a: b", "b"], Ok(&["b", "a"]));
    check(&["d: b c", "b: a", "c: a", "a"], Ok(&["a", "b", "c", "d"]));
    check(&["a: b b", "b"], Ok(&["b", "a"]));
}

#[test]
fn rings_and_unknown_names_are_told_all_at_once() {
    check(&["a: a"], Err(&["\"a\" depends on itself"]));
    check(&["a: b", "b: a"], Err(&["syncs wait for each other: a → b → a"]));
    check(&["x: a", "a: b", "b: c", "c: a", "y: c"], Err(&["syncs wait for each other: a → b → c → a"]));
    check(&["a: stok", "stock"], Err(&["\"a\" depends on \"stok\", and there is no such sync"]));
    check(
        &["a: b gone", "b: a", "c: d", "d: c"],
        Err(&[
            "\"a\" depends on \"gone\", and there is no such sync",
            "syncs wait for each other: a → b → a",
            "syncs wait for each other: c → d → c",
        ]),
    );
    // What is inside another ring is told too.
    check(&["a: b", "b: c a", "c: b"], Err(&["syncs wait for each other: b → c → b", "syncs wait for each other: a → b → a"]));
}

#[test]
fn a_misspelt_name_is_guessed() {
    let faults = in_order(&[("shop".into(), vec!["stok".into()]), ("stock".into(), vec![])]).unwrap_err();
    let crate::agenda::depends::DependencyFault::Unknown { hint, .. } = &faults[0] else { panic!("{faults:?}") };
    assert_eq!(hint.as_deref(), Some("did you mean \"stock\"?"));
}

#[test]
fn long_chains_are_walked() {
    let syncs: Vec<_> = (0..20_000).map(|n| (format!("s{n}"), if n == 19_999 { vec![] } else { vec![format!("s{}", n + 1)] })).collect();
    // Quadratic, this would take minutes.
    assert_eq!(in_order(&syncs).unwrap()[0], "s19999");
}

#[test]
fn a_dependency_is_met_by_its_present_spec_alone() {
    let met = |generation: Option<&str>, ready: Option<&str>| {
        Dependency { name: "stock".into(), generation: generation.map(str::to_owned), ready: ready.map(str::to_owned) }.is_met()
    };
    assert!(met(Some("two"), Some("two")));
    assert!(!met(Some("two"), Some("one")) && !met(Some("two"), None) && !met(None, Some("one")) && !met(None, None));
}
