//! A delivery's request: what is the same for every attempt of a subscription is prepared once.
//!
//! An attempt then costs one copy of the header table, one signature and the handful of values that
//! differ. The id and the body are slices of the event's own bytes.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::{self, Parts, PathAndQuery, Scheme};
use hyper::{Method, Request, Uri, Version};

use super::host::Host;
use super::sign::{Signed, Signers};
use crate::model::event::BODY_PREFIX;
use crate::model::{AttemptError, ErrorKind, Event, Subscription, UnixMillis};

pub(super) type Body = Full<Bytes>;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("Postrider/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EMPTY: HeaderValue = HeaderValue::from_static("");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const SUBSCRIPTION: HeaderName = HeaderName::from_static("postrider-subscription");
const ATTEMPT: HeaderName = HeaderName::from_static("postrider-attempt");

/// What every request of one version of a subscription shares.
pub(super) struct Prepared {
    version: u64,
    pub(super) host: Rc<Host>,
    uri: Uri,
    /// Everything, with empty values where an attempt puts its own.
    headers: HeaderMap,
    /// The same for HTTP/2, made when it is first wanted.
    h2: OnceCell<Box<(Uri, HeaderMap)>>,
    signers: Signers,
}

impl Prepared {
    /// # Errors
    /// A part that cannot stand in a request, which the registry should have refused.
    pub(super) fn new(subscription: &Subscription, host: Rc<Host>) -> Result<Self, AttemptError> {
        let refuse = |what: &str| AttemptError {
            kind: ErrorKind::Protocol,
            message: format!("{what} cannot stand in an HTTP request"),
        };
        let url = &subscription.callback_url;
        let value = |text: &str, what: &str| HeaderValue::from_str(text).map_err(|_| refuse(what));
        let mut headers = HeaderMap::with_capacity(8 + subscription.headers.len());
        headers.insert(HOST, value(url.host_header(), "the callback URL's host")?);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, AGENT);
        for name in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE] {
            headers.insert(name, EMPTY);
        }
        headers.insert(SUBSCRIPTION, value(subscription.id.as_str(), "the subscription's id")?);
        headers.insert(ATTEMPT, EMPTY);
        for custom in &subscription.headers {
            let what = "a custom header";
            let name = HeaderName::from_bytes(custom.name.as_bytes()).map_err(|_| refuse(what))?;
            let mut value = HeaderValue::from_bytes(custom.value.as_bytes()).map_err(|_| refuse(what))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let target = Bytes::copy_from_slice(url.target().as_bytes());
        let mut parts = Parts::default();
        let target = PathAndQuery::from_maybe_shared(target).map_err(|_| refuse("the callback URL"))?;
        parts.path_and_query = Some(target);
        let uri = Uri::from_parts(parts).map_err(|_| refuse("the callback URL"))?;
        let signers = Signers::of(&subscription.secrets, subscription.delivery.signature);
        Ok(Self { version: subscription.version, host, uri, headers, h2: OnceCell::new(), signers })
    }

    /// The request of one attempt over HTTP/1.1.
    pub(super) fn request(&self, event: &Event, attempt: u16, stamp: &mut Stamp) -> Request<Body> {
        let mut request = Request::new(Full::new(event.body().clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.filled(self.headers.clone(), event, attempt, stamp);
        request
    }

    /// The same over HTTP/2, whose body is sent apart.
    pub(super) fn request_h2(&self, event: &Event, attempt: u16, stamp: &mut Stamp) -> Request<()> {
        let (uri, headers) = self.h2.get_or_init(|| Box::new(self.for_h2())).as_ref();
        let mut headers = self.filled(headers.clone(), event, attempt, stamp);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(event.body().len()));
        for once in [WEBHOOK_ID, WEBHOOK_SIGNATURE] {
            if let Some(value) = headers.get_mut(once) {
                // Will not come again, so it should not push what does out of the table of headers.
                value.set_sensitive(true);
            }
        }
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        request
    }

    /// Scheme and host stand in the URI, and not among the headers.
    fn for_h2(&self) -> (Uri, HeaderMap) {
        let mut headers = self.headers.clone();
        let host = headers.remove(HOST);
        let mut parts = Parts::default();
        parts.scheme = Some(if self.host.authority.tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = host.and_then(|host| uri::Authority::try_from(host.as_bytes()).ok());
        parts.path_and_query = self.uri.path_and_query().cloned();
        // Nothing that was a callback URL fails here; h2 refuses a URI without a host.
        (Uri::from_parts(parts).unwrap_or_default(), headers)
    }

    /// The headers with this attempt's values.
    fn filled(&self, mut headers: HeaderMap, event: &Event, attempt: u16, stamp: &mut Stamp) -> HeaderMap {
        stamp.text.clear();
        let signed = Signed { id: event.id(), timestamp: &stamp.seconds_text, body: event.body() };
        self.signers.sign_into(stamp.at, &signed, &mut stamp.message, &mut stamp.text);
        let start = BODY_PREFIX.len();
        let id = event.body().slice(start..start + usize::from(event.id_len()));
        // Ids and signatures are of characters that every header may hold: the fallback is never used.
        headers.insert(WEBHOOK_ID, HeaderValue::from_maybe_shared(id).unwrap_or(EMPTY));
        headers.insert(WEBHOOK_TIMESTAMP, stamp.value.clone());
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::from_str(&stamp.text).unwrap_or(EMPTY));
        headers.insert(ATTEMPT, attempt_value(attempt));
        headers
    }
}

/// The first attempts are nearly all attempts: their text needs no allocation.
fn attempt_value(attempt: u16) -> HeaderValue {
    const FIRST: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    match FIRST.get(usize::from(attempt)) {
        Some(text) => HeaderValue::from_static(text),
        None => HeaderValue::from(attempt),
    }
}

/// The second that attempts are stamped with, written once for all of it, and a reused text buffer.
pub(super) struct Stamp {
    at: UnixMillis,
    seconds: u64,
    seconds_text: String,
    value: HeaderValue,
    text: String,
    /// Room for what is signed in one piece; as large as the largest event that was.
    message: Vec<u8>,
}

impl Stamp {
    pub(super) fn new() -> Self {
        Self {
            at: UnixMillis(0),
            seconds: 0,
            seconds_text: "0".to_owned(),
            value: HeaderValue::from_static("0"),
            text: String::new(),
            message: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, at: UnixMillis) {
        self.at = at;
        if self.seconds != at.as_secs() {
            self.seconds = at.as_secs();
            self.seconds_text = self.seconds.to_string();
            self.value = HeaderValue::from(self.seconds);
        }
    }
}

/// Prepared subscriptions of one generation at most; two generations are kept.
const PREPARED_MAX: usize = 16 * 1024;

type Generation = HashMap<u64, Rc<Prepared>, FixedState>;

/// Prepared subscriptions by key. When the young generation is full it becomes the old one, and what
/// was in the old one and not used since is forgotten: a bound without a list to keep in order.
#[derive(Default)]
pub(super) struct PreparedCache {
    young: Generation,
    old: Generation,
}

impl PreparedCache {
    /// What is prepared for this very version, or what `make` makes.
    pub(super) fn get(
        &mut self,
        subscription: &Subscription,
        make: impl FnOnce() -> Result<Prepared, AttemptError>,
    ) -> Result<Rc<Prepared>, AttemptError> {
        let key = subscription.key.0;
        let same = |found: &Rc<Prepared>| found.version == subscription.version;
        if let Some(found) = self.young.get(&key).filter(|found| same(found)) {
            return Ok(found.clone());
        }
        let found = match self.old.remove(&key).filter(same) {
            Some(found) => found,
            None => Rc::new(make()?),
        };
        if self.young.len() >= PREPARED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::subscription::tests::sample;

    #[test]
    fn prepared_once_per_version() {
        let mut cache = PreparedCache::default();
        let mut get = |key: u64, version: u64| {
            let mut subscription = sample(key, "http://localhost/");
            subscription.version = version;
            let mut made = false;
            let host = Rc::new(Host::new(subscription.callback_url.authority().clone(), None, false, 1));
            let found = cache.get(&subscription, || {
                made = true;
                Prepared::new(&subscription, host)
            });
            assert_eq!(found.map(|found| found.version).expect("valid"), version);
            made
        };
        assert!(get(1, 1));
        assert!(!get(1, 1));
        assert!(get(1, 2));
        assert!(!get(1, 2));
        for key in 2..10 + PREPARED_MAX as u64 {
            assert!(get(key, 1));
        }
        assert!(!get(1, 2), "the old generation still has it");
        for key in 0..2 * PREPARED_MAX as u64 {
            get(key + 100_000, 1);
        }
        assert!(get(1, 2), "two generations later it is forgotten");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let mut subscription = sample(1, "http://localhost/");
        subscription.headers =
            vec![crate::model::CustomHeader { name: "x".to_owned(), value: "secret\n".to_owned() }];
        let host = Rc::new(Host::new(subscription.callback_url.authority().clone(), None, false, 1));
        let error = Prepared::new(&subscription, host).err().expect("refused");
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(!error.message.contains("secret"));
    }

    #[test]
    fn any_target_of_a_callback_url_can_be_sent() {
        for target in ["//x", "/%60%C3%BC", "/x?a=b&c=%7B%7D", "/;=,@:&$!*'()~", "/a//b/?", "/?x=%27?/"] {
            let subscription = sample(1, &format!("http://localhost{target}"));
            let host = Rc::new(Host::new(subscription.callback_url.authority().clone(), None, false, 1));
            let prepared = Prepared::new(&subscription, host).map_err(|e| e.message).expect(target);
            assert_eq!(prepared.uri.to_string(), target);
        }
    }
}
