//! Receivers that repeat what they were sent: values of custom headers are masked in what is kept of an
//! answer, since whoever may see attempts is not to see them, and answers are stored as they are.
//!
//! What a receiver turned into something else (escaped, encoded) is not recognised.

use crate::model::{Captured, CustomHeader};

/// Shorter values are let be: they stand in too much that is no secret.
const VALUE_LEN_MIN: usize = 8;
/// Shorter than any value that is masked, so that nothing grows.
const MASK: &[u8] = b"******";

/// Masks the headers' values wherever they stand in the answer.
pub fn redact(captured: &mut Captured, headers: &[CustomHeader]) {
    let values = || headers.iter().map(|header| header.value.as_str()).filter(|v| v.len() >= VALUE_LEN_MIN);
    // One value may stand inside another: the whole goes before its part.
    let mut by_length: Vec<_> = values().collect();
    by_length.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in by_length {
        if captured.headers.contains(value) {
            captured.headers = captured.headers.replace(value, "******");
        }
        mask(&mut captured.body, value.as_bytes());
    }
    if captured.truncated {
        let cut = values().filter_map(|value| cut_off(&captured.body, value.as_bytes())).min();
        if let Some(at) = cut {
            captured.body.truncate(at);
            captured.body.extend_from_slice(MASK);
        }
    }
}

fn mask(text: &mut Vec<u8>, value: &[u8]) {
    let Some(first) = value.first() else { return };
    let mut kept = Vec::new();
    let mut rest = text.as_slice();
    let mut from = 0;
    while let Some(step) = rest.iter().skip(from).position(|byte| byte == first) {
        let at = from + step;
        match rest.split_at_checked(at) {
            Some((before, found)) if found.starts_with(value) => {
                kept.extend_from_slice(before);
                kept.extend_from_slice(MASK);
                rest = found.get(value.len()..).unwrap_or_default();
                from = 0;
            }
            _ => from = at + 1,
        }
    }
    if !kept.is_empty() {
        kept.extend_from_slice(rest);
        *text = kept;
    }
}

/// Where a value begins that the end of the text cuts off, if enough of it is there to matter.
fn cut_off(text: &[u8], value: &[u8]) -> Option<usize> {
    (VALUE_LEN_MIN..value.len())
        .rev()
        .find(|len| value.get(..*len).is_some_and(|head| text.ends_with(head)))
        .map(|len| text.len() - len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(value: &str) -> CustomHeader {
        CustomHeader { name: "x".to_owned(), value: value.to_owned() }
    }

    #[test]
    fn what_is_masked() {
        let check = |values: &[&str], body: &str, truncated: bool, want: &str| {
            let headers: Vec<_> = values.iter().map(|value| header(value)).collect();
            let mut captured =
                Captured { headers: format!("a: {body}\n"), body: body.as_bytes().to_vec(), truncated };
            redact(&mut captured, &headers);
            assert_eq!(String::from_utf8(captured.body).expect("text"), want, "{values:?} in {body:?}");
            assert!(values.iter().all(|value| value.len() < 8 || !captured.headers.contains(value)));
        };
        check(&[], "sesame-open", false, "sesame-open");
        check(&["sesame-open"], "", false, "");
        check(&["sesame-open"], "sesame-open", false, "******");
        check(
            &["sesame-open"],
            "{\"x\":\"sesame-open\",\"y\":\"sesame-open\"}",
            false,
            "{\"x\":\"******\",\"y\":\"******\"}",
        );
        check(&["sesame-open"], "ssesame-opensesame-opex", false, "s******sesame-opex");
        check(&["sesame-open", "12345678"], "12345678 sesame-open", false, "****** ******");
        check(&["12345678", "Basic 12345678-rest"], "a Basic 12345678-rest", false, "a ******");
        check(&["sesame"], "sesame", false, "sesame");
        check(&["sesame-open"], "…sesame-op", true, "…******");
        check(&["sesame-open"], "…sesame-op", false, "…sesame-op");
        check(&["sesame-open"], "…sesame-", true, "…sesame-");
    }

    proptest! {
        #[test]
        fn nothing_grows_and_nothing_is_left(parts in proptest::collection::vec("[ab]{0,12}", 0..20), value in "[ab]{8,12}") {
            let body = parts.join(&value).into_bytes();
            let mut captured = Captured { headers: String::new(), body: body.clone(), truncated: false };
            redact(&mut captured, &[header(&value)]);
            prop_assert!(captured.body.len() <= body.len());
            prop_assert!(!captured.body.windows(value.len()).any(|window| window == value.as_bytes()));
        }
    }
}
