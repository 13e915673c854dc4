//! A connection of a user to a SQL Server, and values as text: what the integration tests and the storm share.

use std::time::Duration;

use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};
use url::Url;

/// The variable with the URL of a server, or of anything else that speaks T-SQL over TDS:
/// `mssql://user:password@host:port/master?encrypt=false`. The login must be allowed to make and to drop databases.
pub(crate) const VARIABLE: &str = "BERQENAS_TEST_MSSQL_URL";

/// A connection.
pub(crate) type Connection = Client<Compat<TcpStream>>;

/// A connection as a user has it: whatever certificate the server shows is trusted.
pub(crate) async fn connect(url: &Url) -> tiberius::Result<Connection> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut config = Config::new();
    config.host(url.host_str().unwrap());
    config.port(url.port().unwrap_or(1433));
    config.database(decoded(url.path().trim_start_matches('/')));
    config.authentication(AuthMethod::sql_server(decoded(url.username()), decoded(url.password().unwrap())));
    let encrypt = url.query_pairs().find(|(name, _)| name == "encrypt").map(|(_, value)| value.into_owned());
    config.encryption(match encrypt.as_deref() {
        Some("false") => EncryptionLevel::NotSupported,
        Some("strict") => EncryptionLevel::Strict,
        _ => EncryptionLevel::Required,
    });
    config.trust_cert();
    let stream = TcpStream::connect(config.get_addr()).await?;
    stream.set_nodelay(true)?;
    // The driver's futures are large.
    Box::pin(Client::connect(config, stream.compat_write())).await
}

/// A value as cases and storms read it; none: NULL.
pub(crate) fn text(value: &ColumnData) -> Option<String> {
    match value {
        ColumnData::U8(value) => value.map(|value| value.to_string()),
        ColumnData::I16(value) => value.map(|value| value.to_string()),
        ColumnData::I32(value) => value.map(|value| value.to_string()),
        ColumnData::I64(value) => value.map(|value| value.to_string()),
        ColumnData::F32(value) => value.map(|value| value.to_string()),
        ColumnData::F64(value) => value.map(|value| value.to_string()),
        ColumnData::Bit(value) => value.map(|value| u8::from(value).to_string()),
        ColumnData::String(value) => value.as_deref().map(str::to_owned),
        ColumnData::Guid(value) => value.map(|value| value.to_string()),
        ColumnData::Binary(value) => value.as_deref().map(hex::encode),
        ColumnData::Numeric(value) => value.map(|value| decimal(value.value(), usize::from(value.scale()))),
        ColumnData::Date(value) => value.map(|value| date(value.days()).to_string()),
        ColumnData::Time(value) => value.map(|value| time(value).to_string()),
        ColumnData::DateTime2(value) => value.map(|value| format!("{} {}", date(value.date().days()), time(value.time()))),
        other => panic!("a query of a test gave a value of a kind that tests do not read: {other:?}"),
    }
}

pub(crate) fn decimal(digits: i128, scale: usize) -> String {
    let all = format!("{:0>1$}", digits.unsigned_abs(), scale + 1);
    let (whole, fraction) = all.split_at(all.len() - scale);
    let sign = if digits < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The day that is so many days after the first of January of the year 1.
fn date(days: u32) -> jiff::civil::Date {
    jiff::civil::date(1, 1, 1) + jiff::Span::new().days(days)
}

fn time(time: tiberius::time::Time) -> jiff::civil::Time {
    let nanos = time.increments() * 10_u64.pow(9 - u32::from(time.scale()));
    jiff::civil::Time::midnight() + Duration::from_nanos(nanos)
}
