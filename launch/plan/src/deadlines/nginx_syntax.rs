//! nginx's syntax: words, `;`, blocks, quotes, comments, `include`.

use super::nginx::Included;
use crate::error::PlanError;

/// Bytes of all files together.
const BYTES_MAX: usize = 4 << 20;
const DIRECTIVES_MAX: usize = 100_000;
/// Blocks within blocks.
const DEPTH_MAX: usize = 32;
const INCLUDE_DEPTH_MAX: usize = 8;
const WORD_BYTES_MAX: usize = 64 << 10;

/// Line and column, both from 1.
type Place = (u32, u32);

/// The directives of a file and of what it includes.
///
/// # Errors
/// What is not nginx's syntax, and a file that `include` does not bring.
pub(super) fn read(
    text: &str,
    file: &str,
    include: &mut dyn FnMut(&str) -> Result<Vec<Included>, String>,
) -> Result<Vec<Directive>, PlanError> {
    let mut reader = Reader {
        include,
        bytes: 0,
        directives: 0,
    };
    reader.file(text, file, 0)
}

pub(super) fn error(file: &str, (line, column): Place, what: impl Into<String>, expected: &str) -> PlanError {
    PlanError {
        file: file.to_owned(),
        line,
        column,
        what: what.into(),
        expected: expected.to_owned(),
    }
}

#[derive(Debug)]
pub(super) struct Directive {
    pub words: Vec<String>,
    file: String,
    place: Place,
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub fn argument(&self, at: usize) -> &str {
        self.words.get(at + 1).map_or("", String::as_str)
    }

    pub fn at(&self) -> String {
        format!("{}:{}:{}", self.file, self.place.0, self.place.1)
    }

    pub fn error(&self, what: impl Into<String>, expected: &str) -> PlanError {
        error(&self.file, self.place, what, expected)
    }
}

enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

type Placed = (Place, Token);

struct Scanner<'a> {
    text: &'a str,
    file: &'a str,
    at: usize,
    line: u32,
    column: u32,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, file: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            text,
            file,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.at += found.len_utf8();
        if found == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(found)
    }

    fn place(&self) -> Place {
        (self.line, self.column)
    }

    fn token(&mut self) -> Result<Option<Placed>, PlanError> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some('#') => while self.advance().is_some_and(|found| found != '\n') {},
                Some(found) if found.is_whitespace() => {
                    self.advance();
                }
                Some(_) => break,
            }
        }
        let place = self.place();
        let token = match self.peek() {
            Some(';') => Token::End,
            Some('{') => Token::Open,
            Some('}') => Token::Close,
            _ => return Ok(Some((place, Token::Word(self.word(place)?)))),
        };
        self.advance();
        Ok(Some((place, token)))
    }

    fn word(&mut self, began: Place) -> Result<String, PlanError> {
        let mut word = String::new();
        if let Some(quote) = self.peek().filter(|found| matches!(found, '"' | '\'')) {
            self.advance();
            loop {
                match self.advance() {
                    Some(found) if found == quote => return Ok(word),
                    Some('\\') => {
                        // Only what needs it is taken without the backslash.
                        match self.advance() {
                            Some(found @ ('"' | '\'' | '\\')) => word.push(found),
                            Some(found) => word.extend(['\\', found]),
                            None => {}
                        }
                    }
                    Some(found) => word.push(found),
                    None => {
                        return Err(error(self.file, began, "a quote that is never closed", "its end"));
                    }
                }
                self.bounded(&word, began)?;
            }
        }
        while let Some(found) = self.peek() {
            if found.is_whitespace() || matches!(found, ';' | '{') {
                break;
            }
            self.advance();
            word.push(found);
            match (found, self.peek()) {
                // `${name}` is no block.
                ('$', Some('{')) => {
                    while let Some(found) = self.advance() {
                        word.push(found);
                        self.bounded(&word, began)?;
                        if found == '}' {
                            break;
                        }
                    }
                }
                ('\\', Some(_)) => word.extend(self.advance()),
                _ => {}
            }
            self.bounded(&word, began)?;
        }
        Ok(word)
    }

    fn bounded(&self, word: &str, began: Place) -> Result<(), PlanError> {
        if word.len() <= WORD_BYTES_MAX {
            return Ok(());
        }
        Err(error(
            self.file,
            began,
            format!("a word of more than {WORD_BYTES_MAX} bytes"),
            "a directive",
        ))
    }

    /// Over the code of another language, whose braces balance.
    fn foreign(&mut self, began: Place) -> Result<(), PlanError> {
        let mut depth = 1_usize;
        while let Some(found) = self.advance() {
            match found {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(error(self.file, began, "a block that is never closed", "`}`"))
    }
}

struct Reader<'a> {
    include: &'a mut dyn FnMut(&str) -> Result<Vec<Included>, String>,
    bytes: usize,
    directives: usize,
}

impl Reader<'_> {
    fn file(&mut self, text: &str, file: &str, includes: usize) -> Result<Vec<Directive>, PlanError> {
        self.bytes += text.len();
        if self.bytes > BYTES_MAX {
            let what = format!("more than {BYTES_MAX} bytes of configuration");
            return Err(error(file, (1, 1), what, "less"));
        }
        let mut scanner = Scanner::new(text, file);
        let block = self.block(&mut scanner, includes, None)?;
        Ok(block)
    }

    /// Up to the block's end, or the file's when nothing was `opened`.
    fn block(
        &mut self,
        scanner: &mut Scanner<'_>,
        includes: usize,
        opened: Option<(Place, usize)>,
    ) -> Result<Vec<Directive>, PlanError> {
        let depth = opened.map_or(0, |(_, depth)| depth);
        let mut block = Vec::new();
        let (mut words, mut began): (Vec<String>, _) = (Vec::new(), (1, 1));
        loop {
            let Some((place, token)) = scanner.token()? else {
                return match (words.first(), opened) {
                    (Some(word), _) => {
                        let what = format!("`{}` does not end", shown(word));
                        Err(error(scanner.file, began, what, "`;` or a block"))
                    }
                    (None, Some((place, _))) => {
                        Err(error(scanner.file, place, "a block that is never closed", "`}`"))
                    }
                    (None, None) => Ok(block),
                };
            };
            match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        began = place;
                    }
                    words.push(word);
                    continue;
                }
                Token::Close if words.is_empty() && opened.is_some() => return Ok(block),
                Token::Close => return Err(error(scanner.file, place, "`}`", "a directive, ended by `;`")),
                Token::End | Token::Open if words.is_empty() => {
                    return Err(error(
                        scanner.file,
                        place,
                        "a directive without a name",
                        "its name",
                    ));
                }
                Token::End => {
                    let directive = self.directive(&mut words, began, scanner.file, None)?;
                    if directive.name() == "include" {
                        self.included(&directive, includes, &mut block)?;
                    } else {
                        block.push(directive);
                    }
                }
                Token::Open => {
                    if depth >= DEPTH_MAX {
                        let what = format!("more than {DEPTH_MAX} blocks within each other");
                        return Err(error(scanner.file, place, what, "fewer"));
                    }
                    let inner = if words[0].ends_with("_by_lua_block") || words[0] == "js_block" {
                        scanner.foreign(place)?;
                        Vec::new()
                    } else {
                        self.block(scanner, includes, Some((place, depth + 1)))?
                    };
                    let directive = self.directive(&mut words, began, scanner.file, Some(inner))?;
                    block.push(directive);
                }
            }
        }
    }

    fn directive(
        &mut self,
        words: &mut Vec<String>,
        place: Place,
        file: &str,
        block: Option<Vec<Directive>>,
    ) -> Result<Directive, PlanError> {
        self.directives += 1;
        if self.directives > DIRECTIVES_MAX {
            let what = format!("more than {DIRECTIVES_MAX} directives");
            return Err(error(file, place, what, "fewer"));
        }
        Ok(Directive {
            words: std::mem::take(words),
            file: file.to_owned(),
            place,
            block,
        })
    }

    fn included(
        &mut self,
        directive: &Directive,
        includes: usize,
        block: &mut Vec<Directive>,
    ) -> Result<(), PlanError> {
        let pattern = directive.argument(0);
        if includes >= INCLUDE_DEPTH_MAX {
            let what = format!("files that include each other more than {INCLUDE_DEPTH_MAX} deep");
            return Err(directive.error(what, "fewer"));
        }
        let files = (self.include)(pattern).map_err(|why| {
            let what = format!("what `include {}` names cannot be read: {why}", shown(pattern));
            directive.error(
                what,
                "a file that can be read, with the whole configuration at hand",
            )
        })?;
        for (file, text) in files {
            block.extend(self.file(&text, &file, includes + 1)?);
        }
        Ok(())
    }
}

pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
