//! What a server says: the token streams of an answer.

/// A value of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'c> {
    /// NULL.
    Null,
    /// An integer.
    Whole(i64),
    /// Unicode text.
    Text(&'c str),
}

/// What a column of an answer holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `bigint`.
    Whole,
    /// `nvarchar(4000)`.
    Text,
}

/// Bits of a DONE token's status.
const MORE: u16 = 0x01;
const FAILED: u16 = 0x02;
const COUNTED: u16 = 0x10;
const ATTENTION: u16 = 0x20;

/// A collation that any reader takes: Latin, by bytes.
const COLLATION: [u8; 5] = [0x09, 0x04, 0xD0, 0x00, 0x34];

/// LOGINACK: the login is accepted, in TDS 7.4.
pub(super) fn login_ack() -> Vec<u8> {
    let mut body = vec![1];
    body.extend(0x7400_0004_u32.to_be_bytes());
    body.extend(short("Microsoft SQL Server"));
    body.extend([16, 0, 0x10, 0x00]);
    sized(0xAD, &body)
}

/// ENVCHANGE 1: this is the database now.
pub(super) fn database_is(name: &str) -> Vec<u8> {
    sized(0xE3, &[vec![1], short(name), short("master")].concat())
}

/// ENVCHANGE 20: the client is to go to another server.
pub(crate) fn go_to(host: &str, port: u16) -> Vec<u8> {
    let address = [vec![0], port.to_le_bytes().to_vec(), long(host)].concat();
    let size = u16::try_from(address.len()).unwrap().to_le_bytes();
    [login_ack(), sized(0xE3, &[&[20], &size[..], &address, &[0, 0]].concat()), done()].concat()
}

/// ENVCHANGE 8 and on: a transaction has begun, or has ended.
pub(super) fn transaction(kind: u8) -> Vec<u8> {
    let descriptor = [8, 1, 0, 0, 0, 0, 0, 0, 0];
    let (new, old): (&[u8], &[u8]) = if kind == 8 { (&descriptor, &[0]) } else { (&[0], &descriptor) };
    sized(0xE3, &[&[kind], new, old].concat())
}

/// DONE.
pub(crate) fn done() -> Vec<u8> {
    done_with(0, 0)
}

/// DONE: an attention is acknowledged.
pub(super) fn attended() -> Vec<u8> {
    done_with(ATTENTION, 0)
}

/// ERROR and DONE: the statement failed, or the login did.
pub(crate) fn error(number: u32, severity: u8, words: &str) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.extend([1, severity]);
    body.extend([long(words), short("SERVER"), short("")].concat());
    body.extend(1_u32.to_le_bytes());
    [sized(0xAA, &body), done_with(FAILED, 0)].concat()
}

/// COLMETADATA, ROWs and DONE: a result.
pub(crate) fn table(columns: &[(&str, Kind)], rows: &[&[Cell]]) -> Vec<u8> {
    let mut tokens = vec![0x81];
    tokens.extend(u16::try_from(columns.len()).unwrap().to_le_bytes());
    for (name, kind) in columns {
        // No user type; it may be NULL.
        tokens.extend([0, 0, 0, 0, 1, 0]);
        match kind {
            Kind::Whole => tokens.extend([0x26, 8]),
            Kind::Text => tokens.extend([&[0xE7], &8000_u16.to_le_bytes()[..], &COLLATION].concat()),
        }
        tokens.extend(short(name));
    }
    for row in rows {
        assert_eq!(row.len(), columns.len(), "a row has a value for each column");
        tokens.push(0xD1);
        for (cell, (_, kind)) in row.iter().zip(columns) {
            match (cell, kind) {
                (Cell::Whole(number), Kind::Whole) => tokens.extend([&[8], &number.to_le_bytes()[..]].concat()),
                (Cell::Text(text), Kind::Text) => {
                    let text = utf16(text);
                    tokens.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
                    tokens.extend(text);
                }
                (Cell::Null, Kind::Whole) => tokens.push(0),
                (Cell::Null, Kind::Text) => tokens.extend([0xFF, 0xFF]),
                (cell, kind) => panic!("{cell:?} in a column of {kind:?}"),
            }
        }
    }
    [tokens, done_with(COUNTED, rows.len() as u64)].concat()
}

/// A result that others follow in the same answer.
pub(crate) fn and_more(mut answer: Vec<u8>) -> Vec<u8> {
    let status = answer.len() - 12;
    assert_eq!(answer[status - 1], 0xFD, "the answer ends with DONE");
    answer[status] |= MORE.to_le_bytes()[0];
    answer
}

fn done_with(status: u16, rows: u64) -> Vec<u8> {
    [&[0xFD], &status.to_le_bytes()[..], &[0xC1, 0], &rows.to_le_bytes()].concat()
}

/// A token whose length is said.
fn sized(token: u8, body: &[u8]) -> Vec<u8> {
    [&[token], &u16::try_from(body.len()).unwrap().to_le_bytes()[..], body].concat()
}

/// B_VARCHAR.
fn short(text: &str) -> Vec<u8> {
    let text = utf16(text);
    [vec![u8::try_from(text.len() / 2).unwrap()], text].concat()
}

/// US_VARCHAR.
fn long(text: &str) -> Vec<u8> {
    let text = utf16(text);
    [u16::try_from(text.len() / 2).unwrap().to_le_bytes().to_vec(), text].concat()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
