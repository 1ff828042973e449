//! Words of others: names and answers as they may be shown, written to a file or sent on.

/// Whether a character reorders or hides what stands around it (Unicode's Bidi_Control and the like).
pub(crate) const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// One line of at most `characters`: control, line-ending and reordering characters become visible numbers.
/// Letters of every script, and emoji with their joiners, stay as they are.
pub fn one_line(text: &str, characters: usize) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == characters {
            line.push('…');
            break;
        }
        if character.is_control() || is_hidden(character) {
            line.push_str(&format!("‹U+{:04X}›", u32::from(character)));
        } else {
            line.push(character);
        }
    }
    line
}

/// Text for HTML, in content and in quoted attributes.
pub fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reorders_a_line_is_shown_by_its_number() {
        assert_eq!(one_line("a\u{202e}gpj.exe\nb", 50), "a‹U+202E›gpj.exe‹U+000A›b");
        assert_eq!(one_line("مريم 👩‍🚀 星穹", 50), "مريم 👩‍🚀 星穹");
        assert_eq!(one_line("12345", 3), "123…");
    }

    #[test]
    fn html_has_no_way_out_of_an_attribute() {
        assert_eq!(html("<a title='\"&"), "&lt;a title=&#39;&quot;&amp;");
    }
}
