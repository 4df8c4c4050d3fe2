//! What others wrote, on a terminal: stripped of control characters and bounded, so that it can neither
//! steer the terminal nor flood it.

use super::pretty::pretty;

/// Characters of a body that are shown.
const BODY_LEN_MAX: usize = 4096;
/// Lines of a body that are shown.
const BODY_LINES_MAX: usize = 60;
/// Characters of a name, an id or a path that are shown.
const WORD_LEN_MAX: usize = 128;

/// Text of any length in one line.
pub(super) fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The head of a name, an id or a path.
pub(super) fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD_LEN_MAX).collect()
}

/// The head of a body, JSON with a line for each member.
pub(super) fn body_lines(body: &[u8]) -> Vec<String> {
    // A character has four bytes at most: what is cut off here would not be shown anyway.
    let head = body.get(..BODY_LEN_MAX * 4).unwrap_or(body);
    let text = String::from_utf8_lossy(head);
    let is_json = matches!(body.first(), Some(b'{' | b'['));
    let text = if is_json { pretty(&text) } else { text.into_owned() };
    let shown: String = text.chars().take(BODY_LEN_MAX).collect();
    let mut lines: Vec<String> = shown.lines().take(BODY_LINES_MAX).map(line).collect();
    let whole = head.len() == body.len() && shown.len() == text.len();
    if !whole || shown.lines().nth(BODY_LINES_MAX).is_some() {
        lines.push("…".to_owned());
    }
    lines
}

/// A time of the API to the second, for columns: `2026-11-23T14:49:00.000Z` → `2026-11-23 14:49:00Z`.
pub(super) fn time(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..19)) {
        (Some(date), Some(time)) if rfc3339.ends_with('Z') => line(&format!("{date} {time}Z")),
        _ => line(rfc3339),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(line("a\u{1b}[2Jb\r\nc\u{9b}"), "a[2Jbc");
        assert_eq!(word(&"é".repeat(200)).chars().count(), WORD_LEN_MAX);
        assert_eq!(body_lines(b"one\r\ntwo\x1b[0m"), ["one", "two[0m"]);
    }

    #[test]
    fn times_to_the_second() {
        assert_eq!(time("2026-11-23T14:49:00.123Z"), "2026-11-23 14:49:00Z");
        assert_eq!(time("soon"), "soon");
    }

    #[test]
    fn what_is_shown_is_bounded() {
        assert!(body_lines(b"").is_empty());
        assert_eq!(body_lines("x\n".repeat(BODY_LINES_MAX).as_bytes()).len(), BODY_LINES_MAX);
        let many = body_lines("x\n".repeat(BODY_LINES_MAX + 1).as_bytes());
        assert_eq!((many.len(), many[BODY_LINES_MAX].as_str()), (BODY_LINES_MAX + 1, "…"));
        let long = body_lines("ü".repeat(100_000).as_bytes());
        assert_eq!((long.len(), long[0].chars().count(), long[1].as_str()), (2, BODY_LEN_MAX, "…"));
        assert!(body_lines("[".repeat(100_000).as_bytes()).len() <= BODY_LINES_MAX + 1);
    }
}
