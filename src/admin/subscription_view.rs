//! A subscription as the API shows it (contract §5). Header values are masked, secrets never in it.

use serde::Serialize;
use serde_json::Value;

use super::certificate::CertificateView;
use super::ports::Health;
use crate::model::{Subscription, UnixMillis};
use crate::registry::{MASKED, Word};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView {
    id: String,
    account_id: String,
    name: String,
    callback_url: String,
    events: Vec<String>,
    headers: Vec<HeaderView>,
    description: String,
    status: &'static str,
    disabled_reason: Option<&'static str>,
    delivery: DeliveryView,
    client_certificate: Option<CertificateView>,
    filter: Option<Value>,
    health: HealthView,
    created_at: String,
    updated_at: String,
    version: u64,
}

#[derive(Serialize)]
pub struct HeaderView {
    pub name: String,
    pub value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryView {
    timeout_ms: u64,
    max_in_flight: u32,
    rate_per_second: Option<f64>,
    ordering: &'static str,
    on_blocked: &'static str,
    signature: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthView {
    state: &'static str,
    last_success_at: Option<String>,
    last_failure_at: Option<String>,
    pending: u64,
    oldest_pending_at: Option<String>,
    breaker: &'static str,
    next_probe_at: Option<String>,
}

/// The custom headers with their values masked.
pub fn masked(sub: &Subscription) -> impl Iterator<Item = HeaderView> {
    sub.headers.iter().map(|header| HeaderView { name: header.name.clone(), value: MASKED.to_owned() })
}

impl SubscriptionView {
    pub fn new(sub: &Subscription, health: Health) -> Self {
        Self {
            id: sub.id.to_string(),
            account_id: sub.account_name.to_string(),
            name: sub.name.clone(),
            callback_url: sub.callback_url.as_str().to_owned(),
            events: sub.events.clone(),
            headers: masked(sub).collect(),
            description: sub.description.clone(),
            status: sub.status.word(),
            disabled_reason: sub.disabled_reason.map(Word::word),
            delivery: DeliveryView {
                timeout_ms: u64::try_from(sub.delivery.timeout.as_millis()).unwrap_or(u64::MAX),
                max_in_flight: sub.delivery.max_in_flight,
                rate_per_second: sub.delivery.rate_per_second,
                ordering: sub.delivery.ordering.word(),
                on_blocked: sub.delivery.on_blocked.word(),
                signature: sub.delivery.signature.word(),
            },
            client_certificate: sub.client_identity.as_deref().map(CertificateView::new),
            filter: sub.filter.as_deref().map(|filter| filter.given().clone()),
            health: HealthView {
                state: health.state.as_str(),
                last_success_at: health.last_success_at.map(UnixMillis::to_rfc3339),
                last_failure_at: health.last_failure_at.map(UnixMillis::to_rfc3339),
                pending: health.pending,
                oldest_pending_at: health.oldest_pending_at.map(UnixMillis::to_rfc3339),
                breaker: health.breaker.as_str(),
                next_probe_at: health.next_probe_at.map(UnixMillis::to_rfc3339),
            },
            created_at: sub.created_at.to_rfc3339(),
            updated_at: sub.updated_at.to_rfc3339(),
            version: sub.version,
        }
    }
}
