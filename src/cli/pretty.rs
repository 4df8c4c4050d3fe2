//! JSON made readable without reading it: tokens, numbers and the order of keys stay as they came, which
//! parsing and printing again would not promise.

/// Valid JSON with a line for each member and element. Anything else comes out as odd lines, no worse.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let (mut quoted, mut escaped) = (false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}

/// Deeper than this, lines are not indented further: output must not grow with the square of the depth.
const INDENT_MAX: usize = 32;

fn break_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth.min(INDENT_MAX) {
        out.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_as_they_are() {
        let check = |json: &str, want: &str| assert_eq!(pretty(json), want);
        check(
            r#"{"b":1.50,"a":[true,{ }, [ ]]}"#,
            "{\n  \"b\": 1.50,\n  \"a\": [\n    true,\n    {},\n    []\n  ]\n}",
        );
        check(r#"{"a\\":"x,\"{ :"}"#, "{\n  \"a\\\\\": \"x,\\\"{ :\"\n}");
        check("", "");
        check("]]", "\n]\n]");
    }

    #[test]
    fn depth_is_bounded() {
        assert!(pretty(&"[".repeat(10_000)).len() < 10_000 * (INDENT_MAX * 2 + 3));
    }
}
