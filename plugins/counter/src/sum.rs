//! The sum of a counter: exact, or a reason.

use berqenas_strategy::{Decimal, Fault, Field, FromValue, Kind, Side, Value};

/// What both sides last agreed on, and what each has added since.
pub(crate) fn of(field: &Field<'_>, min: Option<&Decimal>) -> Result<Value, String> {
    let sum = if field.column().kind == Kind::Integer {
        // Of five 64-bit numbers none can leave 128 bits on the way.
        let [base, cloud, cloud_base, local, local_base] = parts::<i64>(field)?.map(i128::from);
        let sum = base + (cloud - cloud_base) + (local - local_base);
        let fits = |_| format!("column {} would be {sum}, which no 64-bit integer holds", field.name());
        Value::Integer(i64::try_from(sum).map_err(fits)?)
    } else {
        let [base, cloud, cloud_base, local, local_base] = parts::<Decimal>(field)?;
        Value::from(base + (cloud - cloud_base) + (local - local_base))
    };
    match min {
        Some(min) if Decimal::from_value(&sum).is_none_or(|sum| sum < *min) => {
            Err(format!("column {} would be {sum}, which is less than {min}", field.name()))
        }
        _ => Ok(sum),
    }
}

/// The base, and each side's value with its own base: what a side stored when both agreed may not be what it was given.
fn parts<'a, T: FromValue<'a>>(field: &Field<'a>) -> Result<[T; 5], Fault> {
    Ok([field.base()?, field.cloud()?, field.base_of(Side::Cloud)?, field.local()?, field.base_of(Side::Local)?])
}
