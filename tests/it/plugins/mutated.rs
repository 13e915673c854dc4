//! Components that are nearly good, and answers that are anything: some hundreds of each, the same at every run. Longer: `tests/fuzz`.

use super::{guest::parrot, *};

/// Numbers that look random: xorshift, seeded.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// The seed, which is told: `PLUGIN_SEED=7` tries other ones.
fn random() -> Random {
    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
    let seed = std::env::var("PLUGIN_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    eprintln!("PLUGIN_SEED={seed}");
    Random(seed)
}

/// One change: a bit, a byte that is an edge, a piece lost, a piece twice, or two pieces exchanged.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const EDGES: [u8; 6] = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];
    const LONGEST: usize = 32;
    let place = random.below(bytes.len());
    let length = 1 + random.below(LONGEST.min(bytes.len() - place));
    match random.below(6) {
        0 | 1 => bytes[place] ^= 1 << random.below(8),
        2 => bytes[place] = EDGES[random.below(EDGES.len())],
        3 => drop(bytes.drain(place..place + length)),
        4 => {
            let piece = bytes[place..place + length].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            let to = random.below(bytes.len() - length + 1);
            let piece = bytes[place..place + length].to_vec();
            bytes[to..to + length].copy_from_slice(&piece);
        }
    }
}

/// Refused, or a strategy that runs within its bounds.
#[tokio::test]
async fn damaged_components_do_no_harm() {
    const ROUNDS: usize = 400;
    let good = doing(&at_key(3, &merge(1, 5, [16 | 7 << 32, 0])));
    let mut random = random();
    let limits = Limits { fuel: 1_000_000, fuel_per_conflict: 0, ..Limits::default() };
    let (mut admitted, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        let mut bytes = good.clone();
        for _ in 0..=random.below(2) {
            mutate(&mut bytes, &mut random);
        }
        match Host::new(None).load(bytes, limits.clone()).await {
            Ok(plugin) => {
                assert_eq!(ask(&plugin, &conflicts(0..4)).await.settled.len(), 4);
                admitted += 1;
            }
            Err(fault) => {
                assert!(!fault.to_string().is_empty());
                refused += 1;
            }
        }
    }
    // Changes that are all found at once, or never, would show little.
    assert!(admitted > ROUNDS / 50 && refused > ROUNDS / 50, "{admitted} admitted, {refused} refused");
}

/// An answer that is nearly one: a record with a list of one decision, which sets columns.
fn answer(random: &mut Random) -> Vec<u8> {
    let words = |words: &[usize]| words.iter().flat_map(|word| u32::try_from(*word).unwrap().to_le_bytes()).collect::<Vec<u8>>();
    let sets = random.below(4);
    let mut bytes = words(&[0, 4096 + 20, 1, 0, 0]);
    bytes.extend(words(&[random.below(5), 4096 + 40, sets, 0, 0]));
    bytes.splice(24..24, words(&[random.below(3)]));
    bytes.truncate(40);
    for _ in 0..sets {
        bytes.extend(words(&[random.below(4), 0, random.below(5), 0, random.below(13), 0]));
        bytes.extend(words(&[
            [0, 1, 16, 4096, usize::try_from(u32::MAX).unwrap()][random.below(5)],
            random.below(300),
            random.below(3),
            0,
        ]));
    }
    for _ in 0..random.below(3) {
        mutate(&mut bytes, random);
    }
    bytes.resize(bytes.len().max(20), 0);
    bytes
}

/// A decision that the table can take, or a failure: whatever a guest leaves in its memory.
#[tokio::test]
async fn any_answer_is_a_decision_or_a_failure() {
    const ROUNDS: usize = 2000;
    let columns = [("a", ColumnType::Bytes), ("b", ColumnType::Bytes), ("c", ColumnType::Integer { bits: 16 })];
    let mapping = table(columns.map(|(name, kind)| column(name, "bytea", kind, true)));
    let limits = Limits { fuel: 1_000_000, fuel_per_conflict: 0, ..Limits::default() };
    let plugin = Host::new(None).load(parrot(), limits).await.unwrap();
    let bound = bound(&plugin, mapping.clone(), &serde_json::json!({})).unwrap();
    let mut random = random();
    let (mut settled, mut failed) = (0, 0);
    for _ in 0..ROUNDS {
        let row = || Some(Row { values: vec![Value::Integer(0), Value::Null, Value::Null, Value::Null], deleted: false });
        let contested = Contested {
            kind: ConflictKind::UpdateUpdate,
            key: Key(vec![Value::Bytes(answer(&mut random))]),
            rows: Pair::new(row(), row()),
            base: None,
            edited: Pair::new(None, None),
        };
        match bound.ask(std::slice::from_ref(&contested)).await.settled.remove(0) {
            Ok(Settled::Merge { row }) => {
                for (index, value) in row.values.iter().enumerate() {
                    assert!(Side::BOTH.into_iter().all(|side| mapping.encode(side, index, value).is_ok()), "{row:?}");
                }
                settled += 1;
            }
            Ok(_) => settled += 1,
            Err(failure) => {
                assert!(!failure.is_transient(), "{failure}");
                failed += 1;
            }
        }
    }
    assert!(settled > ROUNDS / 20 && failed > ROUNDS / 20, "{settled} settled, {failed} failed");
}
