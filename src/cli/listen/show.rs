//! How a delivery looks on a terminal. Whatever comes from outside is stripped of control characters and
//! bounded, so that a sender can neither steer the terminal nor flood it.

use std::fmt;

use serde::Deserialize;

use crate::cli::pretty::pretty;
use crate::model::UnixMillis;

/// Characters of a body that are shown.
const SHOWN_LEN_MAX: usize = 4096;
/// Lines of a body that are shown.
const SHOWN_LINES_MAX: usize = 60;
/// Characters of a name, an id or a path that are shown.
const WORD_LEN_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    NotChecked,
    Holds,
    Missing,
    Wrong,
    /// It is right, but the time it was made is too far from now.
    Stale,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotChecked => "signature not checked",
            Self::Holds => "signature holds",
            Self::Missing => "signature DOES NOT HOLD: there is none",
            Self::Wrong => "signature DOES NOT HOLD",
            Self::Stale => "signature DOES NOT HOLD: its time is more than 5 minutes off",
        })
    }
}

/// A delivery as it is shown.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    pub(super) at: UnixMillis,
    pub(super) path: &'a str,
    /// Empty where the header is missing; so is `attempt`.
    pub(super) id: &'a str,
    pub(super) attempt: &'a str,
    pub(super) body: &'a [u8],
    pub(super) signature: Signature,
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    event_type: std::borrow::Cow<'a, str>,
}

impl fmt::Display for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::str::from_utf8(self.body).ok();
        let typed = text.and_then(|text| serde_json::from_str::<Typed<'_>>(text).ok());
        let event_type = typed.map_or_else(|| "(no type)".to_owned(), |typed| word(&typed.event_type));
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { word(text) };
        writeln!(
            f,
            "{}  {event_type}  {}  attempt {}  {} bytes  {}  {}",
            self.at,
            or(self.id, "(no id)"),
            or(self.attempt, "?"),
            self.body.len(),
            word(self.path),
            self.signature,
        )?;
        for line in body_lines(self.body) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD_LEN_MAX).collect()
}

fn body_lines(body: &[u8]) -> Vec<String> {
    // A character has four bytes at most: what is cut off here would not be shown anyway.
    let head = body.get(..SHOWN_LEN_MAX * 4).unwrap_or(body);
    let text = String::from_utf8_lossy(head);
    let is_json = matches!(body.first(), Some(b'{' | b'['));
    let text = if is_json { pretty(&text) } else { text.into_owned() };
    let shown: String = text.chars().take(SHOWN_LEN_MAX).collect();
    let mut lines: Vec<String> = shown
        .lines()
        .take(SHOWN_LINES_MAX)
        .map(|line| line.chars().filter(|c| !c.is_control()).collect())
        .collect();
    let whole = head.len() == body.len() && shown.len() == text.len();
    if !whole || shown.lines().nth(SHOWN_LINES_MAX).is_some() {
        lines.push("…".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_in_words() {
        let check = |id: &str, body: &str, want: &str| {
            let delivery = Delivery {
                at: UnixMillis(0),
                path: "/hook",
                id,
                attempt: "2",
                body: body.as_bytes(),
                signature: Signature::Holds,
            };
            assert_eq!(delivery.to_string(), want);
        };
        check(
            "evt-1",
            r#"{"id":"evt-1","type":"user.created","data":{"n":1.0}}"#,
            concat!(
                "1970-01-01T00:00:00.000Z  user.created  evt-1  attempt 2  53 bytes  /hook  signature holds\n",
                "    {\n      \"id\": \"evt-1\",\n      \"type\": \"user.created\",\n",
                "      \"data\": {\n        \"n\": 1.0\n      }\n    }\n"
            ),
        );
        check(
            "",
            "a\u{1b}[2Jb\r\nc",
            concat!(
                "1970-01-01T00:00:00.000Z  (no type)  (no id)  attempt 2  9 bytes  /hook  signature holds\n",
                "    a[2Jb\n    c\n"
            ),
        );
    }

    #[test]
    fn what_is_shown_is_bounded() {
        assert!(body_lines(b"").is_empty());
        assert_eq!(body_lines("x\n".repeat(SHOWN_LINES_MAX).as_bytes()).len(), SHOWN_LINES_MAX);
        let many = body_lines("x\n".repeat(SHOWN_LINES_MAX + 1).as_bytes());
        assert_eq!((many.len(), many[SHOWN_LINES_MAX].as_str()), (SHOWN_LINES_MAX + 1, "…"));
        let long = body_lines("ü".repeat(100_000).as_bytes());
        assert_eq!((long.len(), long[0].chars().count(), long[1].as_str()), (2, SHOWN_LEN_MAX, "…"));
        assert!(body_lines("[".repeat(100_000).as_bytes()).len() <= SHOWN_LINES_MAX + 1);
    }
}
