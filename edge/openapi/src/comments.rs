//! Comments of the `.proto` files, found by the place of what they describe.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// The text before a declaration, or else after it on its line.
#[derive(Debug, Default)]
pub struct Comments {
    by_place: BTreeMap<(String, Vec<i32>), String>,
}

impl Comments {
    pub fn of(pool: &DescriptorPool) -> Self {
        let mut by_place = BTreeMap::new();
        for file in pool.files() {
            let Some(info) = &file.file_descriptor_proto().source_code_info else {
                continue;
            };
            for location in &info.location {
                let comment = [location.leading_comments(), location.trailing_comments()]
                    .into_iter()
                    .map(tidy)
                    .find(|text| !text.is_empty());
                if let Some(comment) = comment {
                    by_place.insert((file.name().to_owned(), location.path.clone()), comment);
                }
            }
        }
        Self { by_place }
    }

    /// Empty where nothing is said.
    pub fn at(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.by_place
            .get(&(file.name().to_owned(), path.to_vec()))
            .map_or("", String::as_str)
    }
}

/// Lines without the space that follows `//`, and without what is empty around them.
fn tidy(comment: &str) -> String {
    let lines: Vec<&str> = comment
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// Up to the first full stop that ends a sentence, on one line and without the stop; all of it if there
/// is none.
pub fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.find(". ").unwrap_or(line.len());
    line[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_first_sentence_on_one_line() {
        let check = |text: &str, expected: &str| assert_eq!(first_sentence(text), expected, "{text:?}");
        check("", "");
        check("Makes a player.", "Makes a player");
        check(
            "Makes a player\nand a token. Each time.",
            "Makes a player and a token",
        );
        check("No stop\n\nAnother. Paragraph.", "No stop");
        check("棋局。", "棋局。");
    }

    #[test]
    fn comments_lose_their_margin_and_keep_their_lines() {
        assert_eq!(tidy(" one\n   - two \n three\n"), "one\n  - two\nthree");
        assert_eq!(tidy("\n\n"), "");
    }
}
