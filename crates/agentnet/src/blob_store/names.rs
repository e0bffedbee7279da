//! File names as references carry them: a name to show, never a path.

use agentnet_protocol::blob::DEFAULT_MIME_TYPE;

/// The longest file name, in bytes: the usual limit of file systems.
const MAX_FILE_NAME_BYTES: usize = 255;

/// The name without what means something to a file system or a terminal; `None` if nothing is left of it.
pub(crate) fn shown(name: &str) -> Option<String> {
    let mut shown = String::new();
    for character in name.trim().chars() {
        let character = if is_plain(character) { character } else { '_' };
        if shown.len() + character.len_utf8() > MAX_FILE_NAME_BYTES {
            break;
        }
        shown.push(character);
    }
    let shown = shown.trim_matches(|character: char| character == '.' || character.is_whitespace());
    (!shown.is_empty()).then(|| shown.to_owned())
}

fn is_plain(character: char) -> bool {
    let reserved = matches!(character, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    // Marks that turn the direction of text around, with which an `.exe` can be made to look like a `.txt`.
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(reserved || turns || character.is_control())
}

/// What a file of this name most likely is.
pub(crate) fn mime_type(filename: Option<&str>) -> String {
    filename
        .and_then(|name| mime_guess::from_path(name).first_raw())
        .unwrap_or(DEFAULT_MIME_TYPE)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_could_harm() {
        let cases = [
            ("chart.png", Some("chart.png")),
            ("Größe – 日本語 😀.txt", Some("Größe – 日本語 😀.txt")),
            ("../../etc/passwd", Some("_.._etc_passwd")),
            ("C:\\x\n\0", Some("C__x__")),
            ("invoice\u{202e}txt.exe", Some("invoice_txt.exe")),
            (" . ", None),
            ("", None),
            ("..", None),
        ];
        for (name, expected) in cases {
            assert_eq!(shown(name).as_deref(), expected, "{name:?}");
        }
        assert_eq!(shown(&"é".repeat(300)).map(|name| name.len()), Some(254));
    }

    #[test]
    fn types_go_by_the_name() {
        let cases = [
            (Some("a.PNG"), "image/png"),
            (Some("日本語.json"), "application/json"),
            (Some("x.csv"), "text/csv"),
            (Some("x.md"), "text/markdown"),
            (Some("x.pdf"), "application/pdf"),
            (Some("x.unheard-of"), DEFAULT_MIME_TYPE),
            (Some("png"), DEFAULT_MIME_TYPE),
            (None, DEFAULT_MIME_TYPE),
        ];
        for (name, expected) in cases {
            assert_eq!(mime_type(name), expected, "{name:?}");
        }
    }
}
