//! Both sides' rows in a form of this test's own: nothing here knows how the product reads, decodes or hashes a value.

use std::collections::{BTreeMap, BTreeSet};

use berqenas_core::value::Side;
use serde_json::Value;

use crate::support::world::{Kind, World};

/// What a column holds, as a person would say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Integer,
    /// `real` on one side: equal is what is equal at 32 bits.
    Single,
    /// A day, whatever time of day stands behind it.
    Day,
    Bytes,
}

/// A column: its name on the cloud, its name on the local side, what it holds.
type Column = (&'static str, &'static str, Holds);

/// A table: its names, how many of its columns are the key, its columns.
pub(super) struct Table {
    pub(super) cloud: &'static str,
    local: &'static str,
    key: usize,
    pub(super) columns: &'static [Column],
}

impl Table {
    /// Its name and its columns' names on an engine.
    pub(super) fn spelled(&self, kind: Kind) -> (&'static str, Vec<&'static str>) {
        match kind {
            Kind::Postgres | Kind::SqlServer => (self.cloud, self.columns.iter().map(|column| column.0).collect()),
            Kind::Sqlite => (self.local, self.columns.iter().map(|column| column.1).collect()),
        }
    }
}

use Holds::{Bytes, Day, Integer, Single, Text};

pub(super) const TABLES: [Table; 8] = [
    Table {
        cloud: "categories",
        local: "Categories",
        key: 1,
        columns: &[
            ("category_id", "CategoryID", Integer),
            ("category_name", "CategoryName", Text),
            ("description", "Description", Text),
            ("picture", "Picture", Bytes),
        ],
    },
    Table {
        cloud: "customers",
        local: "Customers",
        key: 1,
        columns: &[
            ("customer_id", "CustomerID", Text),
            ("company_name", "CompanyName", Text),
            ("contact_name", "ContactName", Text),
            ("contact_title", "ContactTitle", Text),
            ("address", "Address", Text),
            ("city", "City", Text),
            ("region", "Region", Text),
            ("postal_code", "PostalCode", Text),
            ("country", "Country", Text),
            ("phone", "Phone", Text),
            ("fax", "Fax", Text),
        ],
    },
    Table {
        cloud: "employees",
        local: "Employees",
        key: 1,
        columns: &[
            ("employee_id", "EmployeeID", Integer),
            ("last_name", "LastName", Text),
            ("first_name", "FirstName", Text),
            ("title", "Title", Text),
            ("title_of_courtesy", "TitleOfCourtesy", Text),
            ("birth_date", "BirthDate", Day),
            ("hire_date", "HireDate", Day),
            ("address", "Address", Text),
            ("city", "City", Text),
            ("region", "Region", Text),
            ("postal_code", "PostalCode", Text),
            ("country", "Country", Text),
            ("home_phone", "HomePhone", Text),
            ("extension", "Extension", Text),
            ("photo", "Photo", Bytes),
            ("notes", "Notes", Text),
            ("reports_to", "ReportsTo", Integer),
            ("photo_path", "PhotoPath", Text),
        ],
    },
    Table {
        cloud: "suppliers",
        local: "Suppliers",
        key: 1,
        columns: &[
            ("supplier_id", "SupplierID", Integer),
            ("company_name", "CompanyName", Text),
            ("contact_name", "ContactName", Text),
            ("contact_title", "ContactTitle", Text),
            ("address", "Address", Text),
            ("city", "City", Text),
            ("region", "Region", Text),
            ("postal_code", "PostalCode", Text),
            ("country", "Country", Text),
            ("phone", "Phone", Text),
            ("fax", "Fax", Text),
            ("homepage", "HomePage", Text),
        ],
    },
    Table {
        cloud: "shippers",
        local: "Shippers",
        key: 1,
        columns: &[("shipper_id", "ShipperID", Integer), ("company_name", "CompanyName", Text), ("phone", "Phone", Text)],
    },
    Table {
        cloud: "products",
        local: "Products",
        key: 1,
        columns: &[
            ("product_id", "ProductID", Integer),
            ("product_name", "ProductName", Text),
            ("supplier_id", "SupplierID", Integer),
            ("category_id", "CategoryID", Integer),
            ("quantity_per_unit", "QuantityPerUnit", Text),
            ("unit_price", "UnitPrice", Single),
            ("units_in_stock", "UnitsInStock", Integer),
            ("units_on_order", "UnitsOnOrder", Integer),
            ("reorder_level", "ReorderLevel", Integer),
            ("discontinued", "Discontinued", Integer),
        ],
    },
    Table {
        cloud: "orders",
        local: "Orders",
        key: 1,
        columns: &[
            ("order_id", "OrderID", Integer),
            ("customer_id", "CustomerID", Text),
            ("employee_id", "EmployeeID", Integer),
            ("order_date", "OrderDate", Day),
            ("required_date", "RequiredDate", Day),
            ("shipped_date", "ShippedDate", Day),
            ("ship_via", "ShipVia", Integer),
            ("freight", "Freight", Single),
            ("ship_name", "ShipName", Text),
            ("ship_address", "ShipAddress", Text),
            ("ship_city", "ShipCity", Text),
            ("ship_region", "ShipRegion", Text),
            ("ship_postal_code", "ShipPostalCode", Text),
            ("ship_country", "ShipCountry", Text),
        ],
    },
    Table {
        cloud: "order_details",
        local: "Order Details",
        key: 2,
        columns: &[
            ("order_id", "OrderID", Integer),
            ("product_id", "ProductID", Integer),
            ("unit_price", "UnitPrice", Single),
            ("quantity", "Quantity", Integer),
            ("discount", "Discount", Single),
        ],
    },
];

/// A row: its columns in order, `None` for NULL, and whether it is deleted softly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) values: Vec<Option<String>>,
    pub(super) deleted: bool,
}

/// The rows of a table, by their keys joined with `,`.
pub(super) type Lines = BTreeMap<String, Line>;

/// All eight tables of a side, by their names on the cloud.
pub(super) type Content = BTreeMap<&'static str, Lines>;

/// How two sides differ in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) only_cloud: u64,
    pub(super) only_local: u64,
    pub(super) differing: u64,
}

/// Reads all rows of a side; with `flags`, the soft delete flag too, which is not there before tables are prepared.
pub(super) async fn read(world: &World, side: Side, flags: bool) -> Content {
    let queries: Vec<String> = TABLES.iter().map(|table| query(world.kind(side), table, flags)).collect();
    let mut content: Content = TABLES.iter().map(|table| (table.cloud, Lines::new())).collect();
    for row in world.rows(side, &queries.join("; ")).await {
        let table = described(&row[0]);
        let (key, line) = line(table, &row[1..], flags);
        let twice = content.get_mut(table.cloud).unwrap().insert(key, line);
        assert_eq!(twice, None, "{} has two rows of one key", table.cloud);
    }
    content
}

/// All rows of a table: its name, each value with its own "is NULL" in front, so that no text stands for NULL, then the flag.
fn query(kind: Kind, table: &Table, flags: bool) -> String {
    let (name, columns) = table.spelled(kind);
    let mut asked = vec![format!("'{}'", table.cloud)];
    asked.extend(columns.iter().map(|column| format!("\"{column}\" IS NULL, \"{column}\"")));
    asked.extend(flags.then(|| "is_deleted".to_owned()));
    format!("SELECT {} FROM \"{name}\"", asked.join(", "))
}

fn line(table: &Table, row: &[String], flags: bool) -> (String, Line) {
    let pairs = row.chunks_exact(2).zip(table.columns);
    let values: Vec<_> = pairs.map(|(pair, (_, _, holds))| (!is_true(&pair[0])).then(|| common(*holds, &pair[1]))).collect();
    let key: Vec<&str> = values[..table.key].iter().map(|value| value.as_deref().unwrap()).collect();
    (key.join(","), Line { deleted: flags && is_true(row.last().unwrap()), values })
}

fn is_true(text: &str) -> bool {
    match text {
        "t" | "1" => true,
        "f" | "0" => false,
        other => panic!("{other} is no flag"),
    }
}

/// The text that a value has on either side.
fn common(holds: Holds, text: &str) -> String {
    match holds {
        Text => text.to_owned(),
        Integer => text.parse::<i64>().unwrap().to_string(),
        Single => text.parse::<f32>().unwrap().to_string(),
        Day => {
            let (day, time) = text.split_at(10);
            assert!(matches!(time, "" | " 00:00:00.000"), "{text} is more than a day");
            day.to_owned()
        }
        Bytes => text.strip_prefix("\\x").unwrap_or(text).to_owned(),
    }
}

/// A row of the conflict log, read the same way.
pub(super) fn logged(table: &str, row: &serde_json::Map<String, Value>) -> Line {
    let value = |column: &Column| match &row[column.0] {
        Value::Null => None,
        Value::String(text) => Some(common(column.2, text)),
        other => Some(common(column.2, &other.to_string())),
    };
    Line { values: described(table).columns.iter().map(value).collect(), deleted: row["is_deleted"].as_bool().unwrap() }
}

/// The key of a log entry.
pub(super) fn logged_key(table: &str, key: &serde_json::Map<String, Value>) -> String {
    let names = described(table).columns.iter().take(described(table).key).map(|column| column.0);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    names.map(|name| text(&key[name])).collect::<Vec<_>>().join(",")
}

fn described(table: &str) -> &'static Table {
    TABLES.iter().find(|known| known.cloud == table).unwrap()
}

/// How two sides differ, table by table.
pub(super) fn differences(cloud: &Content, local: &Content) -> BTreeMap<&'static str, Difference> {
    let of = |table: &'static str| {
        let (cloud, local) = (&cloud[table], &local[table]);
        let count =
            |rows: &Lines, wanted: &dyn Fn(&String, &Line) -> bool| rows.iter().filter(|(key, row)| wanted(key, row)).count() as u64;
        Difference {
            only_cloud: count(cloud, &|key, _| !local.contains_key(key)),
            only_local: count(local, &|key, _| !cloud.contains_key(key)),
            differing: count(cloud, &|key, row| local.get(key).is_some_and(|other| other != row)),
        }
    };
    TABLES.iter().map(|table| (table.cloud, of(table.cloud))).collect()
}

/// What both sides should hold after a run: edits of one side reach the other; where both edited a row, `winner` says whose stays.
/// `None` leaves each side its own. Answers cloud and local.
pub(super) fn merged(
    agreed: &Content,
    cloud: &Content,
    local: &Content,
    winner: impl Fn(&str, &str) -> Option<Side>,
) -> (Content, Content) {
    let (mut to_cloud, mut to_local) = (Content::new(), Content::new());
    for table in TABLES.iter().map(|table| table.cloud) {
        let (agreed, cloud, local) = (&agreed[table], &cloud[table], &local[table]);
        let keys: BTreeSet<&String> = cloud.keys().chain(local.keys()).collect();
        for key in keys {
            let (base, ours, theirs) = (agreed.get(key), cloud.get(key), local.get(key));
            let (at_cloud, at_local) = match (ours == base, theirs == base) {
                (true, _) => (theirs, theirs),
                (_, true) => (ours, ours),
                _ if ours == theirs => (ours, ours),
                _ => match winner(table, key) {
                    Some(Side::Cloud) => (ours, ours),
                    Some(Side::Local) => (theirs, theirs),
                    None => (ours, theirs),
                },
            };
            to_cloud.entry(table).or_default().extend(at_cloud.map(|line| (key.clone(), line.clone())));
            to_local.entry(table).or_default().extend(at_local.map(|line| (key.clone(), line.clone())));
        }
    }
    (to_cloud, to_local)
}

/// Asserts that a side holds exactly these rows, naming the ones that differ.
#[track_caller]
pub(super) fn assert_same(found: &Content, expected: &Content, what: &str) {
    let mut wrong = Vec::new();
    for table in TABLES.iter().map(|table| table.cloud) {
        let keys: BTreeSet<&String> = found[table].keys().chain(expected[table].keys()).collect();
        for key in keys {
            let (found, expected) = (found[table].get(key), expected[table].get(key));
            if found != expected {
                wrong.push(format!("{table} {key}\n     found {}\n  expected {}", short(found), short(expected)));
            }
        }
    }
    assert!(wrong.is_empty(), "{what}: {} rows differ:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
}

fn short(line: Option<&Line>) -> String {
    let cell = |value: &Option<String>| value.as_ref().map_or_else(|| "NULL".into(), |text| text.chars().take(60).collect::<String>());
    line.map_or_else(
        || "no row".into(),
        |line| line.values.iter().map(cell).chain(line.deleted.then(|| "deleted".to_owned())).collect::<Vec<_>>().join("|"),
    )
}
