//! Names as people write them: `customer_id`, `CustomerID` and `Customer ID` mean one thing where nothing else could be meant.

/// What a name was found to mean among candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match<'a> {
    /// Exactly one candidate, by its own spelling.
    One(&'a str),
    /// No candidate.
    None,
    /// Several candidates that differ only in case, underscores or blanks.
    Ambiguous(Vec<&'a str>),
}

/// A name without what people vary: case, underscores, blanks.
#[must_use]
pub fn fold(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_' && !letter.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// Finds the candidate of exactly that name, else the one that equals it with case, underscores and blanks ignored.
pub fn match_name<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Match<'a> {
    let folded = fold(wanted);
    let mut alike = Vec::new();
    for candidate in candidates {
        if candidate == wanted {
            return Match::One(candidate);
        }
        if fold(candidate) == folded {
            alike.push(candidate);
        }
    }
    match alike.as_slice() {
        [] => Match::None,
        [one] => Match::One(one),
        _ => Match::Ambiguous(alike),
    }
}

/// The candidate a person most likely meant, if any comes close.
pub fn suggest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const CLOSE_ENOUGH: f64 = 0.8;
    let folded = fold(wanted);
    candidates
        .map(|candidate| (strsim::jaro_winkler(&folded, &fold(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= CLOSE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_exactly_or_alike() {
        let cases: [(&str, &[&str], Match<'_>); 6] = [
            ("customer_id", &["CustomerID", "customer_id"], Match::One("customer_id")),
            ("customer_id", &["CustomerID", "Name"], Match::One("CustomerID")),
            ("order_details", &["Order Details", "Orders"], Match::One("Order Details")),
            ("customer_id", &["CustomerID", "CUSTOMER_ID"], Match::Ambiguous(vec!["CustomerID", "CUSTOMER_ID"])),
            ("customer_id", &["id"], Match::None),
            ("şehir_adı", &["ŞehirAdı"], Match::One("ŞehirAdı")),
        ];
        for (wanted, candidates, expected) in cases {
            assert_eq!(match_name(wanted, candidates.iter().copied()), expected, "{wanted}");
        }
    }

    #[test]
    fn the_closest_name_is_suggested() {
        assert_eq!(suggest("costumers", ["orders", "customers"].into_iter()), Some("customers"));
        assert_eq!(suggest("xyz", ["orders", "customers"].into_iter()), None);
    }
}
