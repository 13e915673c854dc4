//! Guests from text: a core module that implements the interface by hand, with a hole in it for what it does wrong.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub(crate) const WIT: &str = include_str!("../../../plugins/wit/strategy.wit");

/// A component of that interface text whose `resolve` takes the cloud's row for each conflict and then runs `body`, with `$key` (the first
/// key value), `$at` (where the decision is written), `$decisions` and `$count` (the list that is answered) at hand.
pub(crate) fn guest(wit: &str, version: &str, body: &str) -> Vec<u8> {
    let mut module = wat::parse_str(skeleton(version, body)).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("strategy.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("strategy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
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

/// The canonical ABI by hand. A conflict takes 104 bytes, a decision 16; the batch is 72 bytes into the arguments.
fn skeleton(version: &str, body: &str) -> String {
    format!(
        r#"(module
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 8192))
  (data (i32.const 16) "hostile")
  (data (i32.const 32) "1.0.0")
  (data (i32.const 48) "{{}}")
  (data (i32.const 56) "\ff\fe")
  (data (i32.const 64) "\10\00\00\00\07\00\00\00\20\00\00\00\05\00\00\00\30\00\00\00\02\00\00\00\00\00\00\00\02\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 160) "a text of more than ten characters")
  (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $enough (loop $more
      (br_if $enough (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $enough (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
      (br $more)))
    (local.get $at))
  (func (export "berqenas:strategy/resolver@{version}#describe") (result i32) (i32.const 64))
  (func (export "berqenas:strategy/resolver@{version}#resolve") (param $args i32) (result i32)
    (local $conflict i32) (local $count i32) (local $left i32) (local $decisions i32) (local $at i32) (local $key i64)
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
    (i32.const 1024)))"#
    )
}
