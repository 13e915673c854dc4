//! How far a spec lets its runs go: what is refused, and that then nothing at all is written or even opened.

use berqenas::{
    engine::request::{PlanRequest, Silent, SyncRequest},
    error::{EngineError, ErrorKind},
};
use berqenas_core::value::Side;

use super::{MIXED, named};
use crate::support::{
    process::dumps,
    world::{PAIRS, World},
};

const TABLES: &str = "tables: [customers]";

/// What is said of a refusal: its kind is the one whose exit code is 4.
fn told(fault: &EngineError) -> String {
    assert_eq!((fault.kind(), fault.kind().exit_code()), (ErrorKind::Held, 4), "{fault:?}");
    format!("{fault}; {}", fault.hints().join("; "))
}

/// What a spec says, whether a run may write, and whether a saved plan may.
#[tokio::test]
async fn a_spec_says_who_may_write() {
    let cases = [
        ("", None, None),
        ("mode: apply", None, None),
        ("suspend: false", None, None),
        ("mode: plan", Some(["mode: plan", "`berqenas plan test --out FILE`"]), None),
        ("mode: observe", Some(["mode: observe", "`berqenas plan test`"]), Some(["mode: observe", "`berqenas plan test`"])),
        ("suspend: true", Some(["suspend: true", "take suspend out"]), Some(["suspend: true", "take suspend out"])),
        ("mode: plan\nsuspend: true", Some(["mode: plan", "`berqenas plan test --out FILE`"]), Some(["suspend: true", "take suspend out"])),
    ];
    for kinds in PAIRS {
        let world = World::customers(kinds, "").await;
        for (number, (said, no_run, no_plan)) in cases.into_iter().enumerate() {
            let place = format!("{kinds:?}, {said:?}");
            world.spec(&format!("{TABLES}\n{said}"));
            world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('k{number}', 'new')")).await;
            let before = dumps(&world).await;
            let state = std::fs::read(world.state()).ok();
            // Whatever the spec says, a plan can be made, and makes no state.
            assert_eq!(world.plan().await.summary.total.inserts, 1, "{place}");
            let file = world.folder().join("saved.plan");
            world.engine().plan_to_file("test", &PlanRequest::default(), &file).await.unwrap();
            let refused = |parts: [&str; 2], fault: &EngineError| {
                let told = told(fault);
                assert!(parts.iter().all(|part| told.contains(part)), "{place}: {told}");
            };
            if let Some(parts) = no_run {
                refused(parts, &world.try_sync(&SyncRequest::default()).await.unwrap_err());
            }
            if let Some(parts) = no_plan {
                refused(parts, &world.engine().apply(&file, &Silent).await.unwrap_err());
            }
            assert_eq!(dumps(&world).await, before, "{place}");
            assert_eq!(std::fs::read(world.state()).ok(), state, "{place}");
            // What may be written arrives, by whichever of the two may.
            if no_run.is_none() {
                world.sync().await;
            } else if no_plan.is_none() {
                world.engine().apply(&file, &Silent).await.unwrap();
            } else {
                world.spec(TABLES);
                world.sync().await;
            }
            named(&world, &format!("k{number}"), "new", "new").await;
        }
        world.spec(TABLES);
        world.quiet().await;
    }
}

/// It is refused before anybody is asked: with no server to ask, the answer is the same.
#[tokio::test]
async fn nobody_is_connected_to() {
    let world = World::customers(MIXED, "").await;
    let unreachable = "version: 1\nname: test\nid: 1\ncloud: postgres://nobody@127.0.0.1:9/none\nlocal: sqlite:///nowhere/none.db\n";
    for said in ["mode: observe", "mode: plan", "suspend: true"] {
        std::fs::write(world.folder().join("specs/test.yaml"), format!("{unreachable}{TABLES}\n{said}\n")).unwrap();
        let told = told(&world.try_sync(&SyncRequest::default()).await.unwrap_err());
        assert!(told.contains(said), "{told}");
        assert!(!world.state().exists(), "{said}");
    }
}
