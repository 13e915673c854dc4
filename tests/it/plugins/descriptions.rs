//! What a plugin says of itself comes from outside too: it is refused, quickly, where it makes no sense or would do harm.

use std::time::Instant;

use super::{guest::Guest, *};

/// Longer than anything here may take, on a busy machine.
const QUICK: Duration = Duration::from_secs(20);

async fn refused(guest: Guest<'_>, expected: &str) {
    let wasm = guest.component();
    let begun = Instant::now();
    let error = load(wasm).await.unwrap_err().to_string();
    assert!(error.contains(expected), "{error}\n  expected: {expected}");
    assert!(error.len() < 1000 && !error.contains(char::is_control), "{error}");
    assert!(begun.elapsed() < QUICK, "{expected}: {:?}", begun.elapsed());
}

#[tokio::test]
async fn texts_that_make_no_sense_are_refused() {
    let hostile = Guest::default;
    let long = "n".repeat(65);
    for name in ["", "a\nb", "\u{1b}[2J", "a\u{9b}b", &long] {
        refused(Guest { name, ..hostile() }, "its name is to have 1 to 64 characters that can be printed").await;
    }
    refused(Guest { version: "1\r", ..hostile() }, "its version is to have 1 to 64 characters").await;
    refused(Guest { pointers: &["/a", "name"], ..hostile() }, "name is no JSON Pointer (/like/this)").await;
    refused(Guest { pointers: &["/\u{1b}[2J"], ..hostile() }, "that cannot be printed").await;
    refused(Guest { names: &["na\nme"], ..hostile() }, "that cannot be printed").await;
    refused(Guest { schema: "", ..hostile() }, "its configuration schema is not JSON").await;
    refused(Guest { schema: "{\"type\": ", ..hostile() }, "its configuration schema is not JSON").await;
    refused(Guest { schema: &"[".repeat(10_000), ..hostile() }, "its configuration schema is not JSON").await;
    refused(Guest { schema: "[]", ..hostile() }, "its configuration schema is no JSON Schema").await;
    refused(Guest { schema: r#"{"type": "colour"}"#, ..hostile() }, "its configuration schema is no JSON Schema").await;
    refused(Guest { schema: r#"{"type": 5}"#, ..hostile() }, "its configuration schema is no JSON Schema").await;
    let good = "ş".repeat(64);
    let plugin = load(Guest { name: &good, names: &["any name"], pointers: &["/a~1b/0"], ..hostile() }.component()).await.unwrap();
    assert_eq!(plugin.description().name, good);
}

/// Schemas that ask for more than they say.
#[tokio::test]
async fn schemas_that_would_do_harm_are_refused() {
    let schema = |schema: String| async move { refused(Guest { schema: &schema, ..Guest::default() }, "").await };
    for elsewhere in ["http://127.0.0.1:9/a.json", "https://example.com/a.json", "file:///etc/passwd", "other.json", "#anchor", "urn:x"] {
        schema(format!(r#"{{"$ref": "{elsewhere}"}}"#)).await;
        schema(format!(r#"{{"properties": {{"a": {{"$dynamicRef": "{elsewhere}"}}}}}}"#)).await;
    }
    schema(r#"{"$ref": "\u0023"}"#.to_owned()).await;
    schema(r##"{"$ref": "#"}"##.to_owned()).await;
    schema(r##"{"allOf": [{"$ref": "#/allOf/0"}]}"##.to_owned()).await;
    schema(r##"{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}"##.to_owned()).await;
    schema(r##"{"$ref": "#/nothing/here"}"##.to_owned()).await;
    schema(r##"{"properties": {"a": {"$id": "b", "$ref": "#/c"}}, "c": {}}"##.to_owned()).await;
    schema(r##"{"$ref": "#/%24defs/a", "$defs": {"a": {}}}"##.to_owned()).await;
    let chain: Vec<String> = (0..5000).map(|level| format!(r##""l{level}": {{"$ref": "#/$defs/l{}"}}"##, level + 1)).collect();
    schema(format!(r##"{{"$ref": "#/$defs/l0", "$defs": {{{}, "l5000": {{}}}}}}"##, chain.join(", "))).await;
    // Each level asks for the next twice: 2 to the 60th.
    let twice = |level: usize| format!(r##""l{level}": {{"allOf": [{{"$ref": "#/$defs/l{0}"}}, {{"$ref": "#/$defs/l{0}"}}]}}"##, level + 1);
    let levels: Vec<String> = (0..60).map(twice).collect();
    schema(format!(r##"{{"$ref": "#/$defs/l0", "$defs": {{{}, "l60": {{"type": "object"}}}}}}"##, levels.join(", "))).await;
    // Patterns: one that takes for ever to match elsewhere, one that is huge compiled, many that are.
    schema(r#"{"pattern": "("}"#.to_owned()).await;
    schema(r#"{"pattern": "(a+)+\\1$"}"#.to_owned()).await;
    schema(r#"{"pattern": "((a{1000}){1000}){1000}"}"#.to_owned()).await;
    schema(format!(r#"{{"allOf": [{}{{}}]}}"#, r#"{"pattern": "[a-z]{900}"},"#.repeat(2000))).await;
    // A megabyte and more.
    schema(format!(r#"{{"description": "{}"}}"#, "long ".repeat(300_000))).await;
}

/// Whatever a schema of use says, configurations are held against it, soon, and what is wrong is told in so many words.
#[tokio::test]
async fn configurations_are_held_against_the_schema() {
    let schema = r##"{"$id": "https://example.com/config", "type": "object", "additionalProperties": false, "properties": {
        "prefer": {"enum": ["cloud", "local"]}, "columns": {"type": "array", "items": {"$ref": "#/$defs/name"}}},
        "$defs": {"name": {"type": "string", "minLength": 1, "pattern": "^(a+)+$"}}}"##;
    let plugin = load(Guest { schema, ..Guest::default() }.component()).await.unwrap();
    let told = |config: &serde_json::Value| plugin.config_faults(config).iter().map(ToString::to_string).collect::<Vec<String>>();
    let faults = |config: serde_json::Value| told(&config).join("; ");
    assert_eq!(faults(serde_json::json!({"prefer": "cloud", "columns": ["aaa"]})), "");
    assert!(faults(serde_json::json!({"prefer": "me", "columns": [""]})).contains("/prefer: \"me\" is not one of"));
    let begun = Instant::now();
    let slow_elsewhere = "a".repeat(10_000) + "b";
    assert!(faults(serde_json::json!({"columns": [slow_elsewhere]})).starts_with("/columns/0: "));
    assert!(begun.elapsed() < QUICK);
    // Many faults, and long ones, are told in part.
    let many: Vec<String> = std::iter::repeat_n("b".repeat(10_000), 10_000).collect();
    let told = told(&serde_json::json!({"columns": many}));
    assert!(told.len() == 51 && told.iter().all(|fault| fault.chars().count() <= 520), "{} faults, the first: {:.80}", told.len(), told[0]);
    let error = bound(&plugin, mapping(), &serde_json::json!({"colour": 1})).unwrap_err().to_string();
    assert!(
        error.contains("the configuration of the plugin hostile 1.0.0 (blake3 ") && error.contains("'colour' was unexpected"),
        "{error}"
    );
}

/// `describe` runs within the bounds of a call.
#[tokio::test]
async fn a_plugin_that_cannot_describe_itself_is_not_admitted() {
    let describe = |describe| Guest { describe, ..Guest::default() };
    refused(describe("(loop $for_ever (br $for_ever))"), "the plugin cannot describe itself: it used up its fuel").await;
    refused(describe("unreachable"), "the plugin cannot describe itself: it trapped").await;
    refused(describe("(drop (call $deep (i32.const 0)))"), "call stack exhausted").await;
    refused(describe("(i32.store (i32.const 64) (i32.const -2))"), "its answer cannot be read").await;
    refused(describe("(i32.store (i32.const 68) (i32.const -1))"), "its answer cannot be read").await;
    refused(describe("(i32.store8 (i32.const 92) (i32.const 3))"), "its answer cannot be read").await;
    refused(describe("(i32.store (i32.const 100) (i32.const 100000000))"), "its answer cannot be read").await;
    // Texts that are all one text: as much to read as they say.
    refused(describe("(drop (memory.grow (i32.const 800))) (i32.store (i32.const 84) (i32.const 50000000))"), "too much data").await;
}
