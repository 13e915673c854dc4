//! People work on both sides, and now and then on the same row: what each strategy makes of it.

use std::time::Duration;

use berqenas::engine::outcome::{ConflictEntry, ConflictStatus, Winner};
use berqenas_core::value::Side;

use super::{
    assert_counts,
    compare::{Content, assert_same, logged, logged_key, merged, read},
    in_step, spec_with,
};
use crate::support::world::World;

/// Edits of rows that the other side leaves alone.
const CLOUD_ALONE: &str = "
    INSERT INTO customers (customer_id, company_name, city) VALUES ('BERQE', 'Berqenas Gıda', 'Gaziantep');
    INSERT INTO orders (order_id, customer_id, employee_id, order_date, required_date, ship_via, freight, ship_name)
        VALUES (11078, 'BERQE', 1, '2026-01-14', '2026-01-28', 4, 32.38, 'Berqenas Gıda');
    INSERT INTO order_details VALUES (11078, 1, 0.1, 12, 0.05), (11078, 2, 19, 3, 0);
    UPDATE products SET unit_price = 10.35, discontinued = 1 WHERE product_id = 3;
    UPDATE customers SET is_deleted = true WHERE customer_id = 'PARIS'";
const LOCAL_ALONE: &str = "
    INSERT INTO Employees (LastName, FirstName, BirthDate, HireDate, Photo, Notes, ReportsTo)
        VALUES ('Yılmaz', 'Ayşe', '1990-02-28', '2026-01-02', X'00FF5C78', 'Line one' || char(10) || 'line two', 2);
    UPDATE Employees SET ReportsTo = 10 WHERE EmployeeID = 9;
    INSERT INTO Suppliers (CompanyName, HomePage) VALUES ('Antep Fıstık', '#'), ('', NULL);
    INSERT INTO Products (ProductName, SupplierID, CategoryID, UnitPrice) VALUES ('Fıstık', 30, 7, 12.75);
    UPDATE [Order Details] SET Quantity = 13, Discount = 0.15 WHERE OrderID = 10248 AND ProductID = 11;
    UPDATE [Order Details] SET is_deleted = 1 WHERE OrderID = 10248 AND ProductID = 42;
    UPDATE Orders SET ShippedDate = '1998-05-08 00:00:00.000', Freight = 8 WHERE OrderID = 11077";

/// Edits of rows that the other side edits too. Of each pair the one that comes later stands in the later script.
const LOCAL_FIRST: &str = "
    UPDATE Products SET UnitsInStock = 7 WHERE ProductID = 5;
    INSERT INTO Customers (CustomerID, CompanyName, Region) VALUES ('NEWCO', 'New Company', '-')";
const CLOUD_SECOND: &str = "
    UPDATE products SET unit_price = 22.5 WHERE product_id = 5;
    INSERT INTO customers (customer_id, company_name) VALUES ('NEWCO', 'Yeni Şirket');
    UPDATE customers SET phone = '030-1' WHERE customer_id = 'ALFKI';
    UPDATE categories SET description = 'Drinks' WHERE category_id = 1;
    UPDATE orders SET freight = 70.25 WHERE order_id = 10250;
    UPDATE suppliers SET is_deleted = true WHERE supplier_id = 29;
    UPDATE shippers SET phone = '(503) 555-0000' WHERE shipper_id = 1;
    UPDATE customers SET is_deleted = true WHERE customer_id = 'FISSA'";
const LOCAL_THIRD: &str = "
    UPDATE Customers SET Phone = '030-2', ContactName = NULL WHERE CustomerID = 'ALFKI';
    UPDATE Categories SET Picture = X'CAFE' WHERE CategoryID = 1;
    UPDATE Orders SET is_deleted = 1 WHERE OrderID = 10250;
    UPDATE Suppliers SET Fax = '-' WHERE SupplierID = 29;
    UPDATE Shippers SET Phone = '(503) 555-0000' WHERE ShipperID = 1;
    UPDATE Customers SET is_deleted = 1 WHERE CustomerID = 'FISSA'";

/// Rows edited on both sides, in the order of tables and keys: the kind of conflict, and whose edit came later. The shipper and the
/// customer FISSA are not among them: there both sides did the same.
const CONFLICTS: [(&str, &str, &str, Side); 6] = [
    ("categories", "1", "update_update", Side::Local),
    ("customers", "ALFKI", "update_update", Side::Local),
    ("customers", "NEWCO", "insert_insert", Side::Cloud),
    ("orders", "10250", "update_delete", Side::Local),
    ("products", "5", "update_update", Side::Cloud),
    ("suppliers", "29", "update_delete", Side::Local),
];

/// What a strategy should make of the edits.
struct Expected {
    strategy: &'static str,
    winner: fn(later: Side) -> Option<Side>,
    reason: &'static str,
    counts: &'static [(&'static str, [u64; 4])],
}

const LATEST_WINS: Expected = Expected {
    strategy: "latest_wins",
    winner: Some,
    reason: " > ",
    counts: &[
        ("categories", [0, 1, 1, 1]),
        ("customers", [3, 1, 2, 2]),
        ("employees", [0, 2, 0, 0]),
        ("suppliers", [0, 3, 1, 1]),
        ("products", [2, 1, 1, 1]),
        ("orders", [1, 2, 1, 1]),
        ("order_details", [2, 2, 0, 0]),
    ],
};

const CLOUD_WINS: Expected = Expected {
    strategy: "cloud_wins",
    winner: |_| Some(Side::Cloud),
    reason: "Cloud wins (policy)",
    counts: &[
        ("categories", [1, 0, 1, 1]),
        ("customers", [4, 0, 2, 2]),
        ("employees", [0, 2, 0, 0]),
        ("suppliers", [1, 2, 1, 1]),
        ("products", [2, 1, 1, 1]),
        ("orders", [2, 1, 1, 1]),
        ("order_details", [2, 2, 0, 0]),
    ],
};

const LOCAL_WINS: Expected = Expected {
    strategy: "local_wins",
    winner: |_| Some(Side::Local),
    reason: "Local wins (policy)",
    counts: &[
        ("categories", [0, 1, 1, 1]),
        ("customers", [2, 2, 2, 2]),
        ("employees", [0, 2, 0, 0]),
        ("suppliers", [0, 3, 1, 1]),
        ("products", [1, 2, 1, 1]),
        ("orders", [1, 2, 1, 1]),
        ("order_details", [2, 2, 0, 0]),
    ],
};

const MANUAL: Expected = Expected {
    strategy: "manual",
    winner: |_| None,
    reason: "a person decides",
    counts: &[
        ("categories", [0, 0, 1, 0]),
        ("customers", [2, 0, 2, 0]),
        ("employees", [0, 2, 0, 0]),
        ("suppliers", [0, 2, 1, 0]),
        ("products", [1, 1, 1, 0]),
        ("orders", [1, 1, 1, 0]),
        ("order_details", [2, 2, 0, 0]),
    ],
};

/// Everybody works. The pauses tell the stamps of two edits of one row apart.
async fn people_work(world: &World) {
    let pause = || tokio::time::sleep(Duration::from_millis(30));
    world.sql(Side::Cloud, CLOUD_ALONE).await;
    world.sql(Side::Local, LOCAL_ALONE).await;
    world.sql(Side::Local, LOCAL_FIRST).await;
    pause().await;
    world.sql(Side::Cloud, CLOUD_SECOND).await;
    pause().await;
    world.sql(Side::Local, LOCAL_THIRD).await;
}

fn winner_of(expected: &Expected, table: &str, key: &str) -> Option<Side> {
    let conflict = CONFLICTS.iter().find(|conflict| (conflict.0, conflict.1) == (table, key));
    let (.., later) = conflict.unwrap_or_else(|| panic!("{table} {key} should be no conflict"));
    (expected.winner)(*later)
}

/// Both sides' content, read independently.
async fn both(world: &World) -> (Content, Content) {
    (read(world, Side::Cloud, true).await, read(world, Side::Local, true).await)
}

/// The log entries of a run, in the order of tables and keys, against both sides' rows as they were before it.
fn check_log(entries: &[&ConflictEntry], expected: &Expected, (cloud, local): &(Content, Content)) {
    let mut entries: Vec<(String, &ConflictEntry)> = entries.iter().map(|entry| (logged_key(&entry.table, &entry.key), *entry)).collect();
    entries.sort_by(|(a, x), (b, y)| (&x.table, a).cmp(&(&y.table, b)));
    let found: Vec<_> = entries.iter().map(|(key, entry)| (entry.table.as_str(), key.as_str(), entry.kind.as_str())).collect();
    assert_eq!(found, CONFLICTS.map(|(table, key, kind, _)| (table, key, kind)));
    for (key, entry) in &entries {
        let (status, winner) = match winner_of(expected, &entry.table, key) {
            None => (ConflictStatus::Pending, Winner::None),
            Some(Side::Cloud) => (ConflictStatus::Resolved, Winner::Cloud),
            Some(Side::Local) => (ConflictStatus::Resolved, Winner::Local),
        };
        assert_eq!((entry.strategy.as_str(), entry.winner, entry.status), (expected.strategy, winner, status), "{entry:?}");
        assert!(entry.reason.contains(expected.reason), "{entry:?}");
        assert_eq!(logged(&entry.table, entry.cloud.as_ref().unwrap()), cloud[entry.table.as_str()][key], "{entry:?}");
        assert_eq!(logged(&entry.table, entry.local.as_ref().unwrap()), local[entry.table.as_str()][key], "{entry:?}");
    }
}

/// Two databases in step, a day's work on both, one run: its answer, its log, and both sides to the last row.
async fn check(expected: &Expected) -> Option<World> {
    let world = in_step(expected.strategy).await?;
    let agreed = read(&world, Side::Cloud, true).await;
    let before_log = world.conflicts().await.len();
    people_work(&world).await;
    let written = both(&world).await;

    let outcome = world.sync().await;
    assert_counts(&outcome, expected.counts);
    let (to_cloud, to_local) = merged(&agreed, &written.0, &written.1, |table, key| winner_of(expected, table, key));
    assert_same(&read(&world, Side::Cloud, true).await, &to_cloud, "cloud");
    assert_same(&read(&world, Side::Local, true).await, &to_local, "local");
    let log = world.conflicts().await;
    assert_eq!(log.len(), before_log + CONFLICTS.len());
    let of_run: Vec<_> = log.iter().filter(|entry| entry.sync_id == outcome.report.sync_id).collect();
    check_log(&of_run, expected, &written);

    assert_counts(&world.sync().await, &[]);
    world.quiet().await;
    assert_eq!(world.conflicts().await.len(), log.len(), "quiet runs log nothing");
    Some(world)
}

#[tokio::test]
async fn the_later_edit_wins() {
    let Some(world) = check(&LATEST_WINS).await else { return };
    // Spelled out once, so that the comparison itself is seen to look at values.
    let alfki = "SELECT phone, contact_name FROM customers WHERE customer_id = 'ALFKI'";
    assert_eq!(world.lines(Side::Cloud, alfki).await, ["030-2|-"]);
    let details = "SELECT UnitPrice, typeof(UnitPrice), Quantity, Discount FROM [Order Details] WHERE OrderID = 11078 ORDER BY ProductID";
    assert_eq!(world.lines(Side::Local, details).await, ["0.1|real|12|0.05", "19|integer|3|0"]);
    let product = "SELECT UnitPrice, Discontinued, typeof(Discontinued) FROM Products WHERE ProductID = 3";
    assert_eq!(world.lines(Side::Local, product).await, ["10.35|1|text"]);
    // In the form that the other days of the column have: the port's own views compare them as text.
    let days = "SELECT OrderDate, ShippedDate, Freight, is_deleted FROM Orders WHERE OrderID IN (11077, 11078) ORDER BY OrderID";
    assert_eq!(
        world.lines(Side::Local, days).await,
        ["1998-05-06 00:00:00.000|1998-05-08 00:00:00.000|8|0", "2026-01-14 00:00:00.000|-|32.38|0"]
    );
    let order = "SELECT shipped_date, freight, is_deleted FROM orders WHERE order_id IN (10250, 11077) ORDER BY order_id";
    assert_eq!(world.lines(Side::Cloud, order).await, ["1996-07-12|65.83|t", "1998-05-08|8|f"]);
    let employee = "SELECT last_name, birth_date, encode(photo, 'hex'), notes FROM employees WHERE employee_id = 10";
    assert_eq!(world.lines(Side::Cloud, employee).await, ["Yılmaz|1990-02-28|00ff5c78|Line one\nline two"]);
}

#[tokio::test]
async fn the_cloud_wins() {
    check(&CLOUD_WINS).await;
}

#[tokio::test]
async fn the_office_wins() {
    check(&LOCAL_WINS).await;
}

/// Nobody wins: both sides keep their rows, everything else goes through. Then the strategy changes, and decides anew what waits, with
/// the rows as they are by then.
#[tokio::test]
async fn a_person_decides_or_another_strategy_does() {
    let Some(world) = check(&MANUAL).await else { return };
    world.sql(Side::Local, "UPDATE Products SET UnitsInStock = 8 WHERE ProductID = 5").await;
    let outcome = world.sync().await;
    assert_counts(&outcome, &[("products", [0, 0, 1, 0])]);
    assert_eq!(outcome.conflicts_waiting, 6, "the same conflict, with today's rows");

    let written = both(&world).await;
    world.spec(&spec_with("local", "cloud_wins"));
    let outcome = world.sync().await;
    let counts = [
        ("categories", [1, 0, 1, 1]),
        ("customers", [2, 0, 2, 2]),
        ("suppliers", [1, 0, 1, 1]),
        ("products", [1, 0, 1, 1]),
        ("orders", [1, 0, 1, 1]),
    ];
    assert_counts(&outcome, &counts);
    assert_eq!(outcome.conflicts_waiting, 0);
    for side in Side::BOTH {
        assert_same(&read(&world, side, true).await, &written.0, side.as_str());
    }
    let log = world.conflicts().await;
    let of_run: Vec<_> = log.iter().filter(|entry| entry.sync_id == outcome.report.sync_id).collect();
    check_log(&of_run, &CLOUD_WINS, &written);
    assert!(log.iter().all(|entry| entry.status == ConflictStatus::Resolved), "{log:?}");
    world.quiet().await;
}
