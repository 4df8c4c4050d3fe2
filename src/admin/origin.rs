//! Whose page a browser's request comes from, and whose page may show the console in a frame.
//!
//! Browsers say it themselves: `Sec-Fetch-Site` over HTTPS and on this machine, `Origin` elsewhere. A
//! program says neither, and has no cookie that another page could use.

use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, X_FRAME_OPTIONS,
};

use super::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const NOBODY: &str = "frame-ancestors 'none'";

/// # Errors
/// 403 where a page of another origin asks.
pub fn own_page(headers: &HeaderMap) -> Result<(), Problem> {
    if is_own(headers) {
        return Ok(());
    }
    let detail = "a page of another site may not ask this";
    Err(Problem::new(axum::http::StatusCode::FORBIDDEN, "cross_site", detail))
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(&SEC_FETCH_SITE) {
        // `none`: the person themselves.
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(&ORIGIN) else { return true };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    [X_FORWARDED_HOST, HOST].iter().any(|name| text(name).is_some_and(|host| host == authority))
}

/// Which pages may show the console in a frame.
#[derive(Default)]
pub struct Frames(Option<String>);

impl Frames {
    /// By their origins; none: no page may.
    #[must_use]
    pub fn new<'o>(origins: impl Iterator<Item = &'o str>) -> Self {
        let list = origins.collect::<Vec<_>>().join(" ");
        Self((!list.is_empty()).then(|| format!("frame-ancestors 'self' {list}")))
    }

    pub(super) fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Lets those pages show what may be shown by nobody otherwise.
    pub(super) fn allow(&self, headers: &mut HeaderMap) {
        let Some(list) = &self.0 else { return };
        let policy = headers.get(CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
        if let Some(policy) = policy
            && let Ok(policy) = HeaderValue::try_from(policy.replace(NOBODY, list))
        {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
            // It knows no list, and the policy goes before it.
            headers.remove(X_FRAME_OPTIONS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks() {
        for (given, want) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("host", "a:1"), ("origin", "http://a:1")], false),
            (&[("host", "a:1"), ("origin", "http://a:1")], true),
            (&[("host", "a:1"), ("origin", "http://a:2")], false),
            (&[("host", "inner"), ("x-forwarded-host", "a"), ("origin", "https://a")], true),
            (&[("host", "a"), ("origin", "null")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, value.parse().expect("valid"));
            }
            assert_eq!(is_own(&headers), want, "{given:?}");
        }
    }

    #[test]
    fn frames() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        let before = headers.clone();
        Frames::new([].into_iter()).allow(&mut headers);
        assert_eq!(headers, before);
        Frames::new(["https://a.example", "https://b.example"].into_iter()).allow(&mut headers);
        let policy = "default-src 'none'; frame-ancestors 'self' https://a.example https://b.example";
        assert_eq!(headers[CONTENT_SECURITY_POLICY], policy);
        assert!(!headers.contains_key(X_FRAME_OPTIONS));
    }
}
