//! The sum of a counter: exact, or a reason.

use berqenas_strategy::{Decimal, Fault, Field, FromValue, Kind, Side, Value};

/// What the cloud holds, and what the local side has added since both agreed: so that is what both agreed on, and what each has added.
pub(crate) fn of(field: &Field<'_>, min: Option<&Decimal>) -> Result<Value, String> {
    for side in Side::BOTH {
        // What was set where there was nothing is no movement.
        if field.base_of::<Option<&Value>>(side)?.is_none() {
            return Err(format!("column {} was NULL when both sides agreed, so there is nothing to count from", field.name()));
        }
    }
    let sum = if field.column().kind == Kind::Integer {
        // Of three 64-bit numbers none can leave 128 bits on the way.
        let [cloud, local, base] = parts::<i64>(field)?.map(i128::from);
        let sum = cloud + (local - base);
        let fits = |_| format!("column {} would be {sum}, which no 64-bit integer holds", field.name());
        Value::Integer(i64::try_from(sum).map_err(fits)?)
    } else {
        let [cloud, local, base] = parts::<Decimal>(field)?;
        Value::from(cloud + (local - base))
    };
    match min {
        Some(min) if Decimal::from_value(&sum).is_none_or(|sum| sum < *min) => {
            Err(format!("column {} would be {sum}, which is less than {min}", field.name()))
        }
        _ => Ok(sum),
    }
}

/// What each side holds, and what the local one held when both agreed: it may not have stored what it was given.
fn parts<'a, T: FromValue<'a>>(field: &Field<'a>) -> Result<[T; 3], Fault> {
    Ok([field.cloud()?, field.local()?, field.base_of(Side::Local)?])
}
