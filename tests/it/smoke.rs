use berqenas::engine::{Engine, request::*};
use sqlx::{Connection, SqliteConnection};

async fn exec(path: &std::path::Path, sql: &str) {
    let mut c = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut c).await.unwrap();
    c.close().await.unwrap();
}

#[tokio::test]
async fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, local) = (dir.path().join("cloud.db"), dir.path().join("local.db"));
    for db in [&cloud, &local] {
        exec(db, "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT)").await;
    }
    exec(&cloud, "INSERT INTO customers VALUES (1,'a','a@x'),(2,'b','b@x')").await;
    exec(&local, "INSERT INTO customers VALUES (3,'c','c@x')").await;
    std::fs::create_dir(dir.path().join("specs")).unwrap();
    std::fs::write(
        dir.path().join("specs/s.yaml"),
        "version: 1\nname: s\nid: 1\ncloud: sqlite://../cloud.db\nlocal: sqlite://../local.db\ntables: [customers]\n",
    )
    .unwrap();
    let engine = Engine::open(EngineOptions { specs: dir.path().join("specs"), state: None }).unwrap();
    println!("{:?}", engine.validate());
    println!("{:#?}", engine.prepare("s", None, true).await);
    println!("{}", serde_json::to_string_pretty(&engine.plan(Some("s"), &PlanRequest::default()).await.unwrap()).unwrap());
    println!("{:#?}", engine.sync("s", &SyncRequest::default(), &Silent).await);
    println!("{:#?}", engine.sync("s", &SyncRequest::default(), &Silent).await);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    exec(&cloud, "UPDATE customers SET email='new@x' WHERE customer_id=1; UPDATE customers SET name='bb' WHERE customer_id=2").await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    exec(&local, "UPDATE customers SET email='newer@x' WHERE customer_id=1").await;
    println!("{}", serde_json::to_string_pretty(&engine.plan(Some("s"), &PlanRequest::default()).await.unwrap()).unwrap());
    println!("{:#?}", engine.sync("s", &SyncRequest::default(), &Silent).await);
    println!("{:#?}", engine.conflicts("s", &ConflictFilter::default()).await);
    println!("{:#?}", engine.status("s").await);
    println!("{:#?}", engine.plan(Some("s"), &PlanRequest { full_sync: true, ..Default::default() }).await);
}
