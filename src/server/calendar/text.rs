//! Lines of iCalendar (RFC 5545): escaped, folded, and ended by CRLF.

/// The most bytes of a line without its end.
const LONGEST: usize = 75;

/// Lines that are written one after the other.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Writes a property whose value is no text, or consists of characters that need no escape.
    pub(super) fn property(&mut self, name: &str, value: &str) {
        let mut length = 0;
        for char in [name, ":", value].into_iter().flat_map(str::chars) {
            if length + char.len_utf8() > LONGEST {
                // The blank counts for the next line.
                self.0.push_str("\r\n ");
                length = 1;
            }
            self.0.push(char);
            length += char.len_utf8();
        }
        self.0.push_str("\r\n");
    }

    /// Writes a property whose value is a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.property(name, &escaped(text));
    }

    /// What was written.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// `text` as the value of a property. Control characters cannot be written, and are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' | ';' | ',' => escaped.extend(['\\', char]),
            '\r' if chars.peek() == Some(&'\n') => {}
            // Some readers take the last two for the end of a line, too.
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => escaped.push_str("\\n"),
            '\t' => escaped.push(' '),
            char if char.is_control() => {}
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_escaped_and_has_no_control_characters() {
        assert_eq!(escaped("a\\b;c,d\"e:f"), "a\\\\b\\;c\\,d\"e:f");
        assert_eq!(
            escaped("a\nb\r\nc\rd\te\u{0}\u{7f}\u{9b}"),
            "a\\nb\\nc\\nd e"
        );
        assert_eq!(escaped("\u{202e}主机\u{1f600}"), "\u{202e}主机\u{1f600}");
    }

    #[test]
    fn a_line_is_folded_at_75_bytes_and_never_inside_a_character() {
        for value in ["x".repeat(500), "主".repeat(200), "\u{1f600}a".repeat(99)] {
            let mut lines = Lines::default();
            lines.property("SUMMARY", &value);
            let text = lines.into_string();
            let folded: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            assert!(folded.len() > 3, "{text}");
            for (index, line) in folded.iter().enumerate() {
                assert!(line.len() <= LONGEST, "{line}");
                let is_full = line.len() > LONGEST - 4 || index + 1 == folded.len();
                assert!(is_full, "{line}");
                assert_eq!(line.starts_with(' '), index > 0, "{line}");
            }
            assert_eq!(text.replace("\r\n ", ""), format!("SUMMARY:{value}\r\n"));
        }
    }

    #[test]
    fn a_line_of_75_bytes_is_not_folded() {
        let mut lines = Lines::default();
        lines.property("A", &"x".repeat(73));
        assert_eq!(lines.into_string(), format!("A:{}\r\n", "x".repeat(73)));
    }
}
