//! Markdown, as far as tests read it: fenced blocks, and parts that are generated.

use std::{ops::Range, path::PathBuf};

use crate::expect::root;

/// A committed document.
pub(crate) struct Document {
    /// From the root of the repository.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

/// A fenced block of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first word after the fence.
    pub(crate) language: String,
    /// The rest of that line: what is to be done with the block.
    pub(crate) mark: String,
    /// The line of the fence, from 1.
    pub(crate) line: usize,
    /// The text between the fences.
    pub(crate) text: String,
    /// Where that text is in the document.
    pub(crate) range: Range<usize>,
}

impl Document {
    /// Reads a document.
    pub(crate) fn open(path: &str) -> Document {
        let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Document { path: path.to_owned(), text }
    }

    /// Every document that people read: those at the root, in `docs`, `specs`, `plugins` and `examples`.
    pub(crate) fn all() -> Vec<Document> {
        let mut open = ["", "docs", "specs", "plugins", "examples"].map(|folder| root().join(folder)).to_vec();
        let mut found = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() && folder.ends_with("examples") {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found.iter().map(|path| Document::open(path)).collect()
    }

    /// Its fenced blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut inside: Option<Block> = None;
        let mut at = 0;
        for (number, line) in self.text.split_inclusive('\n').enumerate() {
            let end = at + line.len();
            match (line.strip_prefix("```"), inside.take()) {
                (Some(_), Some(mut block)) => {
                    block.range.end = at;
                    block.text = self.text[block.range.clone()].to_owned();
                    blocks.push(block);
                }
                (Some(info), None) => {
                    let (language, mark) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
                    let (language, mark) = (language.to_owned(), mark.trim().to_owned());
                    inside = Some(Block { language, mark, line: number + 1, text: String::new(), range: end..end });
                }
                (None, block) => inside = block,
            }
            at = end;
        }
        assert_eq!(inside, None, "{}: a block is not closed", self.path);
        blocks
    }

    /// Where a block stands, for messages.
    pub(crate) fn place(&self, block: &Block) -> String {
        format!("{}:{}", self.path, block.line)
    }

    /// The text between two marks of a generated part.
    pub(crate) fn generated(&self, name: &str) -> Range<usize> {
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end of {name} -->"));
        let from = self.text.find(&begin).unwrap_or_else(|| panic!("{}: no {begin:?}", self.path)) + begin.len();
        let length = self.text[from..].find(&end).unwrap_or_else(|| panic!("{}: no {end:?}", self.path));
        from..from + length
    }

    /// Replaces parts of the text, and the file with it.
    pub(crate) fn rewrite(&mut self, mut parts: Vec<(Range<usize>, String)>) {
        parts.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        for (range, text) in parts {
            self.text.replace_range(range, &text);
        }
        std::fs::write(root().join(&self.path), &self.text).unwrap();
    }
}

/// Whether generated text is to be written instead of compared.
pub(crate) fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1")
}
