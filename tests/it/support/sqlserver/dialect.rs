//! The plain SQL that cases are written in, said in T-SQL.
//!
//! Only what the cases use is known here: types, truth values, texts as Unicode, joined texts, checks that wait. What stands in a literal
//! or in a quoted name is left alone, and so is T-SQL itself, which a case may be written in as well.

/// The longest text that a unique key holds: 900 bytes, two to a character, and some to spare.
const TEXT: &str = "NVARCHAR(400)";

/// What columns of text compare by: code points, as the cases expect it of every engine. The database itself compares as most do.
const BY_CODE_POINTS: &str = " COLLATE Latin1_General_100_BIN2";

/// A piece of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'s> {
    /// Spaces, line ends, comments.
    Space(&'s str),
    /// A literal with its quotes.
    Literal(&'s str),
    /// A quoted name with its quotes or brackets.
    Quoted(&'s str),
    /// A keyword, a plain name, a number, a variable.
    Word(&'s str),
    /// Anything else, a character or a pair.
    Sign(&'s str),
}

impl<'s> Token<'s> {
    fn text(self) -> &'s str {
        match self {
            Token::Space(text) | Token::Literal(text) | Token::Quoted(text) | Token::Word(text) | Token::Sign(text) => text,
        }
    }

    fn is(self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

/// The statements of a text, each in T-SQL and each fit to be sent as a batch of its own: a name that one statement makes is known to the
/// next, and a trigger stands first in its batch, as T-SQL demands. A semicolon between BEGIN and END ends nothing.
pub(crate) fn statements(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut statements = vec![Vec::new()];
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate() {
        let opens = token.is("CASE") || token.is("BEGIN") && !begins_a_transaction(&tokens[place + 1..]);
        depth = if opens { depth + 1 } else { depth - usize::from(token.is("END") && depth > 0) };
        if *token == Token::Sign(";") && depth == 0 {
            statements.push(Vec::new());
        } else if let Some(last) = statements.last_mut() {
            last.push(*token);
        }
    }
    let said = statements.iter().filter(|statement| !statement.iter().all(|token| matches!(token, Token::Space(_))));
    said.map(|statement| translated(statement).trim().to_owned()).collect()
}

/// Whether what follows BEGIN says that it begins a transaction and no block.
fn begins_a_transaction(rest: &[Token]) -> bool {
    match rest.iter().find(|token| !matches!(token, Token::Space(_))) {
        None | Some(Token::Sign(";")) => true,
        Some(next) => next.is("TRAN") || next.is("TRANSACTION"),
    }
}

fn translated(tokens: &[Token]) -> String {
    let mut words = tokens.iter().filter(|token| matches!(token, Token::Word(_)));
    let makes_columns =
        words.next().is_some_and(|word| word.is("CREATE") || word.is("ALTER")) && words.next().is_some_and(|word| word.is("TABLE"));
    let mut told = String::new();
    let mut place = 0;
    while let Some(token) = tokens.get(place) {
        let rest = &tokens[place + 1..];
        place += 1;
        match token {
            Token::Literal(text) if !told.ends_with(['N', 'n']) || is_within_a_word(&told) => told.extend(["N", text]),
            Token::Sign("||") => told.push('+'),
            Token::Word(word) => {
                let (said, taken) = said(word, rest);
                let is_text = makes_columns && said.starts_with("NVARCHAR(");
                told.extend([said.as_str(), if is_text { BY_CODE_POINTS } else { "" }]);
                place += taken;
            }
            other => told.push_str(other.text()),
        }
    }
    told
}

/// Whether the last letter of a text is the end of a longer word, not one that stands alone.
fn is_within_a_word(told: &str) -> bool {
    told.chars().rev().nth(1).is_some_and(is_of_a_word)
}

/// What a word is in T-SQL, and how many of the tokens after it are said with it.
fn said(word: &str, rest: &[Token]) -> (String, usize) {
    let follows = |words: &[&str]| {
        let mut wanted = words.iter();
        let mut taken = 0;
        for token in rest {
            if matches!(token, Token::Space(_)) {
                taken += 1;
                continue;
            }
            match wanted.next() {
                Some(wanted) if token.is(wanted) || token.text() == *wanted => taken += 1,
                _ => break,
            }
            if wanted.len() == 0 {
                return Some(taken);
            }
        }
        None
    };
    let sized = follows(&["("]).is_some();
    let whole = |text: &str| (text.to_owned(), 0);
    match word.to_ascii_uppercase().as_str() {
        "TEXT" => whole(TEXT),
        "VARCHAR" if sized => {
            let taken = rest.iter().position(|token| *token == Token::Sign(")")).map_or(0, |end| end + 1);
            (["NVARCHAR"].into_iter().chain(rest[..taken].iter().map(|token| token.text())).collect(), taken)
        }
        "VARCHAR" => whole(TEXT),
        "TIMESTAMP" if sized => whole("DATETIME2"),
        "TIMESTAMP" => whole("DATETIME2(6)"),
        "BOOLEAN" => whole("BIT"),
        "UUID" => whole("UNIQUEIDENTIFIER"),
        "BYTEA" | "BLOB" => whole("VARBINARY(MAX)"),
        "TRUE" => whole("1"),
        "FALSE" => whole("0"),
        "DEFERRABLE" => {
            let when = ["IMMEDIATE", "DEFERRED"].into_iter().find_map(|when| follows(&["INITIALLY", when]));
            (String::new(), when.unwrap_or_default())
        }
        "BEGIN" if follows(&["TRAN"]).or(follows(&["TRANSACTION"])).is_none() && begins_a_transaction(rest) => whole("BEGIN TRANSACTION"),
        "ADD" => follows(&["COLUMN"]).map_or_else(|| whole(word), |taken| ("ADD".to_owned(), taken)),
        _ => whole(word),
    }
}

fn is_of_a_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '@' | '#' | '$')
}

fn tokens<'s>(text: &'s str) -> Vec<Token<'s>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = |wanted: fn(char) -> bool| rest.find(|letter| !wanted(letter)).unwrap_or(rest.len());
        let (length, token): (usize, fn(&'s str) -> Token<'s>) = match first {
            '\'' => (quoted(rest, '\''), Token::Literal),
            '"' => (quoted(rest, '"'), Token::Quoted),
            '[' => (quoted(rest, ']'), Token::Quoted),
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), Token::Space),
            letter if letter.is_whitespace() => (run(char::is_whitespace), Token::Space),
            letter if is_of_a_word(letter) => (run(is_of_a_word), Token::Word),
            '|' if rest.starts_with("||") => (2, Token::Sign),
            sign => (sign.len_utf8(), Token::Sign),
        };
        let (this, after) = rest.split_at(length);
        tokens.push(token(this));
        rest = after;
    }
    tokens
}

/// The length of a literal or a quoted name at the start of a text; a doubled `end` stands for itself.
fn quoted(text: &str, end: char) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((place, letter)) = letters.next() {
        if letter == end && letters.next_if(|(_, next)| *next == end).is_none() {
            return place + end.len_utf8();
        }
    }
    panic!("{text}: the quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[track_caller]
    fn says(plain: &str, told: &[&str]) {
        assert_eq!(statements(plain), told, "{plain}");
    }

    #[test]
    fn types_and_values_are_said_in_t_sql() {
        says(
            "CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, a text, at TIMESTAMP, coarse TIMESTAMP(0), gone BOOLEAN DEFAULT FALSE, u UUID)",
            &[
                "CREATE TABLE t (id NVARCHAR(20) COLLATE Latin1_General_100_BIN2 PRIMARY KEY, a NVARCHAR(400) COLLATE Latin1_General_100_BIN2, at DATETIME2(6), coarse DATETIME2(0), gone BIT DEFAULT 0, u UNIQUEIDENTIFIER)",
            ],
        );
        says("SELECT 'a' || b FROM t WHERE gone = TRUE", &["SELECT N'a' + b FROM t WHERE gone = 1"]);
        says("SELECT CAST(a AS VARCHAR ( 20 )) FROM t", &["SELECT CAST(a AS NVARCHAR ( 20 )) FROM t"]);
        says("a INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED, b INTEGER", &["a INTEGER REFERENCES t (id) , b INTEGER"]);
        says("ALTER TABLE t ADD COLUMN c TEXT", &["ALTER TABLE t ADD c NVARCHAR(400) COLLATE Latin1_General_100_BIN2"]);
        says("CREATE UNIQUE INDEX one ON t (a) WHERE b > 0", &["CREATE UNIQUE INDEX one ON t (a) WHERE b > 0"]);
    }

    #[test]
    fn literals_and_names_are_left_alone() {
        says("INSERT INTO t VALUES ('it''s; TRUE', 'TEXT')", &["INSERT INTO t VALUES (N'it''s; TRUE', N'TEXT')"]);
        says(
            "SELECT \"TEXT;\", [a]]b; TRUE], \"a\"\"UUID\" FROM \"t;--\"",
            &["SELECT \"TEXT;\", [a]]b; TRUE], \"a\"\"UUID\" FROM \"t;--\""],
        );
        says(
            "SELECT N'a', @TEXT, #uuid, texts, CASE WHEN a IN('b') THEN 0x01 END",
            &["SELECT N'a', @TEXT, #uuid, texts, CASE WHEN a IN(N'b') THEN 0x01 END"],
        );
        says("SELECT N 'a', CAST(dateN'a' AS x)", &["SELECT N N'a', CAST(dateNN'a' AS x)"]);
    }

    #[test]
    fn each_statement_is_a_batch_of_its_own() {
        says("SELECT 1; SELECT 2;\n -- not; this\n;", &["SELECT 1", "SELECT 2"]);
        says("BEGIN; DELETE FROM t; COMMIT", &["BEGIN TRANSACTION", "DELETE FROM t", "COMMIT"]);
        says("BEGIN TRAN; COMMIT", &["BEGIN TRAN", "COMMIT"]);
        says(
            "CREATE TRIGGER x ON t AFTER INSERT AS BEGIN SET NOCOUNT ON; IF 1 = CASE WHEN 1 = 1 THEN 1 END BEGIN SELECT 1; END; END; SELECT 3",
            &[
                "CREATE TRIGGER x ON t AFTER INSERT AS BEGIN SET NOCOUNT ON; IF 1 = CASE WHEN 1 = 1 THEN 1 END BEGIN SELECT 1; END; END",
                "SELECT 3",
            ],
        );
    }
}
