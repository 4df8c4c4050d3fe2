//! "Did you mean …?": the known name that is most like an unknown one.

/// Bytes at most of a text that is compared: what is longer is no slip of the pen, and the comparison
/// costs the product of both lengths.
const COMPARED_LEN_MAX: usize = 128;

/// How much of a name must be the same (0 to 1) before it is worth proposing.
const LIKENESS_MIN: f64 = 0.6;

/// The most similar of `known`, if any is similar enough. Letters' case is not counted.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.is_empty() || text.len() > COMPARED_LEN_MAX {
        return None;
    }
    let text = text.to_lowercase();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&text, &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(nearest(text, ["timeout", "connect_timeout", "retry_jitter"]), want, "{text}");
        };
        check("timout", Some("timeout"));
        check("TIMEOUT", Some("timeout"));
        check("conect_timeout", Some("connect_timeout"));
        check("jitter", None);
        check("", None);
        check(&"timeout".repeat(100), None);
    }
}
