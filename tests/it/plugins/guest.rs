//! Guests from text: a core module that implements the interface by hand, with a hole in it for what it does wrong.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub(crate) const WIT: &str = include_str!("../../../plugins/wit/strategy.wit");

/// A guest: what it says of itself, and the parts of it that a test writes.
pub(crate) struct Guest<'a> {
    pub(crate) wit: &'a str,
    /// The version of the interface that it exports.
    pub(crate) interface: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) schema: &'a str,
    pub(crate) needs_base: bool,
    /// 0: the columns named; 1: those that differ; 2: all.
    pub(crate) scope: u8,
    pub(crate) names: &'a [&'a str],
    pub(crate) pointers: &'a [&'a str],
    /// More of the module: tables, memories, functions.
    pub(crate) module: &'a str,
    /// Done by `describe`, first.
    pub(crate) describe: &'a str,
    /// Done at each conflict, with `$key` (the first key value), `$conflict`, `$at` (where the decision is written; it takes the cloud's row so far),
    /// `$decisions` and `$count` (the list that is answered) at hand, and `$from`, `$to`, `$left_fields` to work with.
    pub(crate) body: &'a str,
    /// Done at the end.
    pub(crate) last: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Guest {
            wit: WIT,
            interface: "1.0.0",
            name: "hostile",
            version: "1.0.0",
            schema: "{}",
            needs_base: false,
            scope: 2,
            names: &[],
            pointers: &[],
            module: "",
            describe: "",
            body: "",
            last: "",
        }
    }
}

/// Where a description's texts begin; the heap comes after them.
const TEXTS: usize = 1 << 17;

impl Guest<'_> {
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        let package = resolve.push_str("strategy.wit", self.wit).unwrap();
        let world = resolve.select_world(&[package], Some("strategy")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }

    /// The memory's part with the description: the record at 64, what it refers to from [`TEXTS`] on.
    fn description(&self) -> (Vec<u8>, Vec<u8>) {
        let mut texts = Vec::new();
        let mut put = |bytes: &[u8]| {
            let place = TEXTS + texts.len();
            texts.extend(bytes);
            texts.resize(texts.len().next_multiple_of(4), 0);
            words([place, bytes.len()])
        };
        let mut record: Vec<u8> = [self.name, self.version, self.schema].iter().flat_map(|text| put(text.as_bytes())).collect();
        record.extend([u8::from(self.needs_base), 0, 0, 0, self.scope, 0, 0, 0]);
        for list in [self.names, self.pointers] {
            let items: Vec<u8> = list.iter().flat_map(|text| put(text.as_bytes())).collect();
            let place = put(&items)[..4].to_vec();
            record.extend([place, words([list.len()])].concat());
        }
        (record, texts)
    }

    /// The canonical ABI by hand. A conflict takes 104 bytes, a field 144, a decision 16; the batch is 72 bytes into the arguments.
    fn text(&self) -> String {
        let Guest { interface, module, describe, body, last, .. } = self;
        let (record, texts) = self.description();
        let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
        let (record, heap) = (escaped(&record), (TEXTS + texts.len()).next_multiple_of(8));
        let (texts, pages) = (escaped(&texts), heap.div_ceil(1 << 16));
        format!(
            r#"(module
  (memory (export "memory") {pages})
  {module}
  (global $heap (mut i32) (i32.const {heap}))
  (data (i32.const 16) "hostile")
  (data (i32.const 56) "\ff\fe")
  (data (i32.const 64) "{record}")
  (data (i32.const 160) "a text of more than ten characters")
  (data (i32.const {TEXTS}) "{texts}")
  (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func $down (param i32) (result i32)
    (if (result i32) (local.get 0) (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $enough (loop $more
      (br_if $enough (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $enough (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
      (br $more)))
    (local.get $at))
  (func (export "berqenas:strategy/resolver@{interface}#describe") (result i32) {describe} (i32.const 64))
  (func (export "berqenas:strategy/resolver@{interface}#resolve") (param $args i32) (result i32)
    (local $conflict i32) (local $count i32) (local $left i32) (local $decisions i32) (local $at i32) (local $key i64)
    (local $from i32) (local $to i32) (local $left_fields i32)
    (local.set $conflict (i32.load offset=72 (local.get $args)))
    (local.set $count (i32.load offset=76 (local.get $args)))
    (local.set $left (local.get $count))
    (local.set $decisions (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.mul (i32.add (local.get $count) (i32.const 1)) (i32.const 16))))
    (local.set $at (local.get $decisions))
    (i32.store8 (i32.const 1024) (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $left)))
      (local.set $key (i64.load offset=8 (i32.load offset=4 (local.get $conflict))))
      {body}
      (local.set $conflict (i32.add (local.get $conflict) (i32.const 104)))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $next)))
    (i32.store (i32.const 1028) (local.get $decisions))
    (i32.store (i32.const 1032) (local.get $count))
    {last}
    (i32.const 1024)))"#
        )
    }
}

fn words<const N: usize>(words: [usize; N]) -> Vec<u8> {
    words.into_iter().flat_map(|word| u32::try_from(word).unwrap().to_le_bytes()).collect()
}

/// A component of that interface text and version.
pub(crate) fn guest(wit: &str, interface: &str, body: &str) -> Vec<u8> {
    Guest { wit, interface, body, ..Guest::default() }.component()
}

/// The guest as the interface is today.
pub(crate) fn doing(body: &str) -> Vec<u8> {
    guest(WIT, "1.0.0", body)
}

/// What is done at one conflict only.
pub(crate) fn at_key(key: i64, then: &str) -> String {
    format!("(if (i64.eq (local.get $key) (i64.const {key})) (then {then}))")
}

/// Answers `manual` with a text of the guest's memory.
pub(crate) fn manual(pointer: u32, length: u32) -> String {
    format!(
        "(i32.store8 (local.get $at) (i32.const 3)) (i32.store offset=4 (local.get $at) (i32.const {pointer}))
         (i32.store offset=8 (local.get $at) (i32.const {length}))"
    )
}

/// Answers a merge from the cloud that sets one column: to the value of that case whose payload is two words.
pub(crate) fn merge(column: u32, case: u32, words: [u64; 2]) -> String {
    format!(
        "(i32.store8 (local.get $at) (i32.const 1)) (i32.store8 offset=4 (local.get $at) (i32.const 0))
         (i32.store offset=8 (local.get $at) (i32.const 2048)) (i32.store offset=12 (local.get $at) (i32.const 1))
         (i32.store (i32.const 2048) (i32.const {column})) (i32.store8 (i32.const 2056) (i32.const 3))
         (i32.store8 (i32.const 2064) (i32.const {case})) (i64.store (i32.const 2072) (i64.const {}))
         (i64.store (i32.const 2080) (i64.const {}))",
        words[0], words[1]
    )
}

/// Answers a merge from the cloud that sets every column it was shown but the last: to that source (0 the cloud, 1 the local side, 2 the base), or
/// (3) to the value that the local side was said to hold, given back.
pub(crate) fn echo(source: u8) -> String {
    format!(
        "(local.set $from (i32.load offset=84 (local.get $conflict)))
         (local.set $left_fields (i32.sub (i32.load offset=88 (local.get $conflict)) (i32.const 1)))
         (local.set $to (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $left_fields) (i32.const 40))))
         (i32.store8 (local.get $at) (i32.const 1)) (i32.store8 offset=4 (local.get $at) (i32.const 0))
         (i32.store offset=8 (local.get $at) (local.get $to)) (i32.store offset=12 (local.get $at) (local.get $left_fields))
         (block $all (loop $each
           (br_if $all (i32.eqz (local.get $left_fields)))
           (i32.store (local.get $to) (i32.load (local.get $from)))
           (i32.store8 offset=8 (local.get $to) (i32.const {source}))
           (memory.copy (i32.add (local.get $to) (i32.const 16)) (i32.add (local.get $from) (i32.const 48)) (i32.const 24))
           (local.set $from (i32.add (local.get $from) (i32.const 144)))
           (local.set $to (i32.add (local.get $to) (i32.const 40)))
           (local.set $left_fields (i32.sub (local.get $left_fields) (i32.const 1)))
           (br $each)))"
    )
}

/// Answers `manual` with what it was told, in letters from `a`: the kind, the two operations, whether the base is known, and for each field the
/// column, whether it differs (1), and whether the cloud's (2) and the local value (4) changed.
pub(crate) fn report() -> String {
    let letter = |value: &str| {
        format!(
            "(i32.store8 (local.get $to) (i32.add (i32.const 97) {value}))
             (local.set $to (i32.add (local.get $to) (i32.const 1)))"
        )
    };
    let of = |base: &str, offset: usize| format!("(i32.load8_u offset={offset} (local.get {base}))");
    let flags = format!(
        "(i32.add {} (i32.add (i32.mul (i32.const 2) {}) (i32.mul (i32.const 4) {})))",
        of("$from", 136),
        of("$from", 137),
        of("$from", 138)
    );
    format!(
        "(local.set $to (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)))
         (i32.store8 (local.get $at) (i32.const 3)) (i32.store offset=4 (local.get $at) (local.get $to))
         {}{}{}{}
         (local.set $from (i32.load offset=84 (local.get $conflict)))
         (local.set $left_fields (i32.load offset=88 (local.get $conflict)))
         (block $all (loop $each
           (br_if $all (i32.eqz (local.get $left_fields)))
           {}{}
           (local.set $from (i32.add (local.get $from) (i32.const 144)))
           (local.set $left_fields (i32.sub (local.get $left_fields) (i32.const 1)))
           (br $each)))
         (i32.store offset=8 (local.get $at) (i32.sub (local.get $to) (i32.load offset=4 (local.get $at))))",
        letter(&of("$conflict", 0)),
        letter(&of("$conflict", 16)),
        letter(&of("$conflict", 48)),
        letter(&of("$conflict", 80)),
        letter("(i32.load (local.get $from))"),
        letter(&flags),
    )
}

/// Answers so many diagnostics: warnings about the conflicts 0, 1, …, each with a text of the guest's memory.
pub(crate) fn diagnostics(count: u32, pointer: u32, length: u32) -> String {
    format!(
        "(local.set $left (i32.const 0))
         (local.set $to (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const {})))
         (i32.store (i32.const 1036) (local.get $to)) (i32.store (i32.const 1040) (i32.const {count}))
         (loop $each
           (i32.store8 (local.get $to) (i32.const 1)) (i32.store offset=4 (local.get $to) (local.get $left))
           (i32.store8 offset=8 (local.get $to) (i32.const 1))
           (i32.store offset=12 (local.get $to) (i32.const {pointer})) (i32.store offset=16 (local.get $to) (i32.const {length}))
           (local.set $to (i32.add (local.get $to) (i32.const 20)))
           (local.set $left (i32.add (local.get $left) (i32.const 1)))
           (br_if $each (i32.lt_u (local.get $left) (i32.const {count}))))",
        count * 20
    )
}
