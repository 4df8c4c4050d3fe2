//! What a scrape has, read as Prometheus reads it.

use super::*;
use crate::ingest::rejection::Code;
use crate::model::ErrorKind;

/// Telemetry over a recorder of its own; handles made in `make` count into it.
pub(crate) fn local<T>(make: impl FnOnce() -> T) -> (Telemetry, T) {
    let recorder = recorder().expect("builds");
    let made = metrics::with_local_recorder(&recorder, || {
        handles::register("1.2.3");
        make()
    });
    (Telemetry::over(recorder.handle()), made)
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn every_name_is_there_from_the_first_scrape() {
    let (telemetry, ()) = local(|| ());
    let text = telemetry.render();
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let name = metric.name;
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind} in\n{text}");
        assert_eq!(text.matches(&format!("# HELP {name} {}\n", metric.help)).count(), 1, "{name}");
        assert_eq!(name.ends_with("_total"), matches!(metric.kind, Kind::Counter), "{name}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let known = |metric: &names::Metric| {
            let rest = name.strip_prefix(metric.name);
            rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        assert!(ALL.iter().any(known), "{line} is in no table");
    }
    assert_eq!(value(&text, "postrider_build_info{version=\"1.2.3\"}"), Some(1.0));
    assert_eq!(value(&text, "postrider_attempts_total{outcome=\"timeout\"}"), Some(0.0));
    assert!(value(&text, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    assert!(value(&text, "process_start_time_seconds").is_some_and(|at| at > 1e9));
    assert!(value(&text, "process_open_fds").is_some_and(|fds| fds > 2.0));
}

#[test]
fn handles_count_into_their_names() {
    let (telemetry, (ingest, send, workers, log, control)) = local(|| {
        let workers = [handles::WorkerMetrics::new(0), handles::WorkerMetrics::new(1)];
        (
            handles::IngestMetrics::new(),
            handles::SendMetrics::new(),
            workers,
            handles::LogMetrics::new(),
            handles::ControlMetrics::new(),
        )
    });
    ingest.accepted.increment(3);
    ingest.rejected("event_too_large");
    ingest.rejected("something new");
    ingest.refused("queue_full");
    send.closed(true, "idle", 1);
    workers[0].failed(ErrorKind::Timeout);
    workers[0].queued.set(5);
    workers[1].queued.set(7);
    workers[0].queued.set(2);
    log.commit_events.record(3.0);
    control.answered(404);
    let check = |text: &str, series: &str, want: f64| assert_eq!(value(text, series), Some(want), "{series}");
    let text = telemetry.render();
    check(&text, "postrider_events_total{result=\"accepted\",reason=\"\"}", 3.0);
    check(&text, "postrider_events_total{result=\"rejected\",reason=\"event_too_large\"}", 1.0);
    check(&text, "postrider_events_total{result=\"rejected\",reason=\"other\"}", 1.0);
    check(&text, "postrider_refused_requests_total{reason=\"queue_full\"}", 1.0);
    check(&text, "postrider_connections_total{event=\"closed\",protocol=\"h2\",reason=\"idle\"}", 1.0);
    check(&text, "postrider_attempts_total{outcome=\"timeout\"}", 1.0);
    check(&text, "postrider_queued", 9.0);
    check(&text, "postrider_commit_events_bucket{le=\"2\"}", 0.0);
    check(&text, "postrider_commit_events_bucket{le=\"4\"}", 1.0);
    check(&text, "postrider_commit_events_count", 1.0);
    check(&text, "postrider_admin_requests_total{status=\"4xx\"}", 1.0);
    drop(workers);
    check(&telemetry.render(), "postrider_queued", 0.0);
}

#[test]
fn gauges_of_subscriptions_are_bounded_and_go_away() {
    let (telemetry, ()) = local(|| ());
    let ages = (0..150u32)
        .map(|n| (SubscriptionId::parse(&format!("sub_{n}")).expect("valid"), f64::from(n)))
        .collect();
    telemetry.set_subscriptions(ages);
    let text = telemetry.render();
    let name = names::SUBSCRIPTION_OLDEST_UNDELIVERED.name;
    assert_eq!(text.matches(&format!("{name}{{")).count(), SUBSCRIPTION_GAUGES_MAX);
    assert_eq!(value(&text, &format!("{name}{{subscription=\"sub_149\"}}")), Some(149.0));
    assert!(value(&text, &format!("{name}{{subscription=\"sub_0\"}}")).is_none(), "the worst are shown");
    telemetry.set_subscriptions(Vec::new());
    assert!(!telemetry.render().contains(&format!("{name}{{")));
}

#[test]
fn labels_are_the_words_of_those_who_count() {
    for code in Code::ALL {
        assert!(handles::REJECTED.contains(&code.as_str()), "{}", code.as_str());
    }
    for table in [handles::REJECTED, handles::REFUSED, handles::CLOSED] {
        assert_eq!(table.last(), Some(&"other"), "what a table does not know is still counted");
    }
}
