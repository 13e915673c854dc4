//! What a client asks: packets put together to messages, and messages read.

use std::io::{Error, ErrorKind, Read, Result};

/// The types of packets that clients send.
pub(super) const BATCH: u8 = 0x01;
pub(super) const CALL: u8 = 0x03;
pub(super) const ATTENTION: u8 = 0x06;
pub(super) const BULK: u8 = 0x07;
pub(super) const TRANSACTION: u8 = 0x0E;
pub(super) const LOGIN: u8 = 0x10;
pub(super) const PRELOGIN: u8 = 0x12;

/// The number of the procedure that runs a statement with parameters.
const SP_EXECUTESQL: u16 = 10;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The first word of a connection, and how it wants it encrypted.
    Prelogin {
        /// 0: the login only; 1: all; 2: it cannot; 3: all, and nothing else will do.
        encryption: u8,
    },
    /// Who it is.
    Login {
        /// The login name.
        user: String,
        /// The password.
        password: String,
        /// The database.
        database: String,
    },
    /// A statement, with parameters or without.
    Statement(String),
    /// Rows in bulk.
    Bulk,
    /// A transaction that begins (8), is committed (9) or rolled back (10), in the numbers of what is answered.
    Transaction(u8),
    /// It does not want the rest of the answer.
    Attention,
}

/// Reads a message of as many packets as it has; `None`: the client has left.
pub(super) fn message(from: &mut impl Read) -> Result<Option<(u8, Vec<u8>)>> {
    let mut body = Vec::new();
    loop {
        let mut header = [0; 8];
        match from.read_exact(&mut header) {
            Err(fault) if fault.kind() == ErrorKind::UnexpectedEof && body.is_empty() => return Ok(None),
            other => other?,
        }
        let size = usize::from(u16::from_be_bytes([header[2], header[3]])).checked_sub(8).ok_or(ErrorKind::InvalidData)?;
        let start = body.len();
        body.resize(start + size, 0);
        from.read_exact(&mut body[start..])?;
        if header[1] & 1 == 1 {
            return Ok(Some((header[0], body)));
        }
    }
}

/// What a message says.
pub(super) fn read(kind: u8, body: &[u8]) -> Result<Request> {
    let request = match kind {
        PRELOGIN => prelogin(body),
        LOGIN => login(body),
        BATCH => headers(body).map(|at| Request::Statement(utf16(&body[at..]))),
        CALL => call(body).map(Request::Statement),
        BULK => Some(Request::Bulk),
        TRANSACTION => headers(body).and_then(|at| transaction(*body.get(at)?)),
        ATTENTION => Some(Request::Attention),
        _ => None,
    };
    request.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no message of type {kind:#x} that is understood")))
}

/// PRELOGIN: options, each with the place and the size of its value. Only the one on encryption is of interest.
fn prelogin(body: &[u8]) -> Option<Request> {
    let option = body.chunks(5).find(|option| option[0] == 1 || option[0] == 0xFF)?;
    let place = usize::from(u16::from_be_bytes([*option.get(1)?, *option.get(2)?]));
    Some(Request::Prelogin { encryption: *body.get(place)? })
}

/// LOGIN7: texts lie behind the fixed part, which tells the place of each and how many characters it has.
fn login(body: &[u8]) -> Option<Request> {
    let number = |at: usize| Some(usize::from(u16::from_le_bytes([*body.get(at)?, *body.get(at + 1)?])));
    let bytes = |at: usize| {
        let place = number(at)?;
        body.get(place..place + 2 * number(at + 2)?)
    };
    let password: Vec<u8> = bytes(44)?.iter().map(|byte| (byte ^ 0xA5).rotate_left(4)).collect();
    Some(Request::Login { user: utf16(bytes(40)?), password: utf16(&password), database: utf16(bytes(68)?) })
}

/// ALL_HEADERS, which begin with their size; answers where they end.
fn headers(body: &[u8]) -> Option<usize> {
    let size = usize::try_from(u32::from_le_bytes(body.get(..4)?.try_into().ok()?)).ok()?;
    (size <= body.len()).then_some(size)
}

/// RPC: of `sp_executesql` the first parameter is the statement, in one piece or in chunks; of others the name is told.
fn call(body: &[u8]) -> Option<String> {
    let rest = &body[headers(body)?..];
    let number = |at: usize| Some(u16::from_le_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let size = number(0)?;
    if size != 0xFFFF {
        return rest.get(2..2 + 2 * usize::from(size)).map(utf16);
    }
    if number(2)? != SP_EXECUTESQL {
        return Some(format!("EXEC {}", number(2)?));
    }
    // After the flags: the parameter's name, its status, its type (with the largest size and a collation), its value.
    let typed = 7 + 2 * usize::from(*rest.get(6)?) + 1;
    let value = typed + 8;
    if number(typed + 1)? != 0xFFFF {
        let size = usize::from(number(value)?);
        return rest.get(value + 2..value + 2 + size).map(utf16);
    }
    let (mut text, mut at) = (Vec::new(), value + 8);
    loop {
        let size = usize::try_from(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?)).ok()?;
        if size == 0 {
            return Some(utf16(&text));
        }
        text.extend_from_slice(rest.get(at + 4..at + 4 + size)?);
        at += 4 + size;
    }
}

fn transaction(kind: u8) -> Option<Request> {
    match kind {
        5 => Some(Request::Transaction(8)),
        7 => Some(Request::Transaction(9)),
        8 => Some(Request::Transaction(10)),
        _ => None,
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}
