//! The one list of keys. Whoever reads, prints or names keys walks it as a [`Visitor`].

use super::value::Setting;
use super::{Config, Host, WEBHOOKS_FLAG};
use crate::model::CustomType;

pub(super) trait Visitor: Sized {
    /// The keys that follow are in this section.
    fn section(&mut self, name: &'static str);
    fn key<T: Setting>(&mut self, name: &'static str, value: &mut T);
    /// A list of tables, `[[name]]`.
    fn tables<T: Section>(&mut self, name: &'static str, items: &mut Vec<T>);
}

pub(super) trait Section: Default {
    fn visit(&mut self, v: &mut impl Visitor);
}

impl Section for Config {
    fn visit(&mut self, v: &mut impl Visitor) {
        v.key("data_dir", &mut self.data_dir);

        v.section("ingest");
        v.key("socket", &mut self.ingest.socket);
        v.key("socket_mode", &mut self.ingest.socket_mode);
        v.key("listen", &mut self.ingest.listen);
        v.key("max_event_size", &mut self.ingest.max_event_size);
        v.key("max_batch", &mut self.ingest.max_batch);
        v.key("max_request_size", &mut self.ingest.max_request_size);

        v.section("admin");
        v.key("listen", &mut self.admin.listen);
        v.key("requests_per_second", &mut self.admin.requests_per_second);
        v.key("burst", &mut self.admin.burst);
        v.key("frame_ancestors", &mut self.admin.frame_ancestors);

        v.section("jwt");
        v.key("key_file", &mut self.jwt.key_file);
        v.key("jwks_file", &mut self.jwt.jwks_file);
        v.key("issuer", &mut self.jwt.issuer);
        v.key("audience", &mut self.jwt.audience);
        v.key("account_claim", &mut self.jwt.account_claim);
        v.key("role_claim", &mut self.jwt.role_claim);
        v.key("licence_claim", &mut self.jwt.licence_claim);
        v.key("leeway", &mut self.jwt.leeway);
        v.key("max_lifetime", &mut self.jwt.max_lifetime);

        v.section("workers");
        v.key("count", &mut self.workers.count);
        v.key("pin", &mut self.workers.pin);

        v.section("delivery");
        v.key("timeout", &mut self.delivery.timeout);
        v.key("connect_timeout", &mut self.delivery.connect_timeout);
        v.key("max_response_size", &mut self.delivery.max_response_size);
        v.key("retry_schedule", &mut self.delivery.retry_schedule);
        v.key("retry_jitter", &mut self.delivery.retry_jitter);
        v.key("max_in_flight_per_subscription", &mut self.delivery.max_in_flight_per_subscription);
        v.key("max_connections_per_host", &mut self.delivery.max_connections_per_host);
        v.key("disable_after", &mut self.delivery.disable_after);

        v.section("breaker");
        v.key("window", &mut self.breaker.window);
        v.key("min_requests", &mut self.breaker.min_requests);
        v.key("failure_ratio", &mut self.breaker.failure_ratio);
        v.key("open", &mut self.breaker.open);
        v.key("open_max", &mut self.breaker.open_max);

        v.section("egress");
        v.key("allow_http", &mut self.egress.allow_http);
        v.key("allow_networks", &mut self.egress.allow_networks);
        v.key("allow_hosts", &mut self.egress.allow_hosts);
        v.key("refuse_ports", &mut self.egress.refuse_ports);
        v.key("nameservers", &mut self.egress.nameservers);
        v.key("ca_file", &mut self.egress.ca_file);
        v.key("system_roots", &mut self.egress.system_roots);
        v.key("proxy", &mut self.egress.proxy);

        v.section("retention");
        v.key("events", &mut self.retention.events);
        v.key("attempts", &mut self.retention.attempts);
        v.key("dead_letters", &mut self.retention.dead_letters);
        v.key("audit", &mut self.retention.audit);
        v.key("dedupe_window", &mut self.retention.dedupe_window);

        v.section("secrets");
        v.key("key_file", &mut self.secrets.key_file);

        v.section("features");
        v.key(WEBHOOKS_FLAG, &mut self.features.webhooks);

        v.tables("host", &mut self.hosts);
        v.tables("event_type", &mut self.event_types);
    }
}

impl Section for Host {
    fn visit(&mut self, v: &mut impl Visitor) {
        v.key("host", &mut self.host);
        v.key("spread", &mut self.spread);
        v.key("max_connections", &mut self.max_connections);
        v.key("rate_per_second", &mut self.rate_per_second);
        v.key("http2", &mut self.http2);
        v.key("client_certificate", &mut self.client_certificate);
        v.key("client_key", &mut self.client_key);
    }
}

impl Section for CustomType {
    fn visit(&mut self, v: &mut impl Visitor) {
        v.key("id", &mut self.id);
        v.key("name", &mut self.name);
        v.key("group", &mut self.group);
        v.key("aliases", &mut self.aliases);
        v.key("gated", &mut self.gated);
        v.key("schema", &mut self.schema);
        v.key("sample", &mut self.sample);
    }
}
