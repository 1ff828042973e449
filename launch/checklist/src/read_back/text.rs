//! Text as it was read against what must be there.

use unicode_normalization::UnicodeNormalization;

use super::fields::Section;

/// Readers split runs where they like and put spaces between them; some name a character by a radical
/// of the same shape.
pub(crate) fn squeeze(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}'))
        .flat_map(|c| {
            let radical = matches!(c, '\u{2e80}'..='\u{2fdf}');
            // The one or the other is empty.
            let plain = (!radical).then_some(c);
            let composed = radical.then(|| std::iter::once(c).nfkc()).into_iter().flatten();
            plain.into_iter().chain(composed)
        })
        .collect()
}

/// The text of all pages without white space, and where each page begins in it.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub text: String,
    pub pages: Vec<usize>,
}

impl Body {
    pub(crate) fn page(&mut self, text: &str) {
        self.pages.push(self.text.len());
        self.text.push_str(text);
    }

    /// The number of the page, from 1, that holds this byte.
    fn page_at(&self, at: usize) -> Option<u32> {
        let page = self.pages.partition_point(|from| *from <= at);
        u32::try_from(page).ok().filter(|page| *page > 0)
    }
}

/// A field that is not where it must be.
#[derive(Debug)]
pub(crate) struct Missing {
    /// Where it was looked for first.
    pub page: Option<u32>,
    pub section: String,
    pub field: String,
    pub text: String,
}

/// All fields that are not there, in the order of the sections and within each of them.
pub(crate) fn missing(body: &Body, sections: &[Section]) -> Vec<Missing> {
    let mut missing = Vec::new();
    // Where each section begins: its heading, after that of the one before.
    let (mut starts, mut from) = (Vec::new(), 0);
    for section in sections {
        let Some(head) = &section.head else {
            starts.push(Some((0, 0)));
            continue;
        };
        match find(&body.text, from, body.text.len(), head) {
            Some((at, end)) => {
                starts.push(Some((at, end)));
                from = end;
            }
            None => {
                missing.push(Missing {
                    page: body.page_at(from),
                    section: section.name.clone(),
                    field: "heading with title and status".to_owned(),
                    text: head.clone(),
                });
                starts.push(None);
            }
        }
    }
    for (position, section) in sections.iter().enumerate() {
        // Without its heading it is looked for between its neighbours.
        let start = starts[..=position].iter().rev().find_map(|s| *s);
        let end = starts[position + 1..].iter().find_map(|s| *s);
        let mut from = start.map_or(0, |(_, after)| after);
        let end = end.map_or(body.text.len(), |(at, _)| at);
        for field in &section.fields {
            match find(&body.text, from, end, &field.text) {
                Some((_, after)) => from = after,
                None => missing.push(Missing {
                    page: body.page_at(from),
                    section: section.name.clone(),
                    field: field.name.clone(),
                    text: field.text.clone(),
                }),
            }
        }
    }
    missing
}

/// Begin and end of `what`; a text that is written from right to left is drawn in another order, and
/// is there when its characters are.
fn find(text: &str, from: usize, end: usize, what: &str) -> Option<(usize, usize)> {
    let within = text.get(from..end)?;
    if let Some(at) = within.find(what) {
        return Some((from + at, from + at + what.len()));
    }
    if !what.chars().any(right_to_left) {
        return None;
    }
    // A window of as many characters whose sum of mixed code points agrees is looked at closely.
    let sorted = |text: &str| -> Vec<char> {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all
    };
    let (wanted, length) = (sorted(what), what.chars().count());
    let target = what.chars().map(mixed).fold(0, u64::wrapping_add);
    let (mut sum, mut starts) = (0_u64, std::collections::VecDeque::new());
    for (at, character) in within.char_indices() {
        starts.push_back((at, character));
        sum = sum.wrapping_add(mixed(character));
        if starts.len() > length
            && let Some((_, left)) = starts.pop_front()
        {
            sum = sum.wrapping_sub(mixed(left));
        }
        let after = at + character.len_utf8();
        if let Some((begin, _)) = starts.front()
            && starts.len() == length
            && sum == target
            && sorted(within.get(*begin..after)?) == wanted
        {
            return Some((from + begin, from + after));
        }
    }
    None
}

fn mixed(character: char) -> u64 {
    (u64::from(character) + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn right_to_left(character: char) -> bool {
    matches!(u32::from(character), 0x0590..=0x08ff | 0xfb1d..=0xfdff | 0xfe70..=0xfeff | 0x10800..=0x10fff | 0x1e800..=0x1efff)
}
