//! The configuration read, refused and printed, as people write it.

use proptest::prelude::*;

use super::*;
use crate::config::document::Known;
use crate::model::JsonObject;

const SHIPPED: &str = include_str!("../../config.toml");

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(Path::new("config.toml")), text, environment)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn good(text: &str) -> Config {
    load(text, &[]).unwrap_or_else(|errors| panic!("{text}: {errors:#?}"))
}

#[test]
fn shipped_file_is_the_default_and_has_every_key() {
    assert_eq!(good(SHIPPED), Config::default());
    assert_eq!(good(""), Config::default());
    for key in Known::new().keys() {
        // Keys of lists stand in commented examples.
        let (before, key) = match key.split_once("[].") {
            Some((list, key)) => (SHIPPED.split_once(&format!("\n# [[{list}]]")), format!("\n# {key} = ")),
            None => match key.split_once('.') {
                Some(("features", flag)) => (SHIPPED.split_once("\n[features]"), format!("\n\"{flag}\" = ")),
                Some((section, key)) => {
                    (SHIPPED.split_once(&format!("\n[{section}]")), format!("\n{key} = "))
                }
                None => (Some(("", SHIPPED)), format!("\n{key} = ")),
            },
        };
        assert!(before.is_some_and(|(_, rest)| rest.contains(&key)), "{key} is not shipped");
    }
}

#[test]
fn examples_in_the_shipped_file_work() {
    let examples = SHIPPED.split_once("# [[host]]").unwrap().1;
    let text: Vec<&str> = examples.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let text = text.join("\n").replace("An event type of your own", "# An event type of your own");
    let config = good(&format!("[[host]]\n{text}"));
    assert_eq!(config.hosts[0].rate_per_second, Some(50.0));
    assert_eq!(config.hosts[0].max_connections, Some(8));
    assert_eq!(config.event_types[0].id, "parking.spot_taken");
    assert_eq!(config.event_types[0].sample, JsonObject::parse("{\"spot\":\"P1-017\"}").ok());
}

#[test]
fn values() {
    let config = good(
        r#"
        data_dir = "/var/lib/postrider"
        [ingest]
        listen = "[::1]:8081"
        socket_mode = "600"
        max_event_size = "1000B"
        max_request_size = "64MiB"
        [admin]
        listen = "localhost:9000"
        [workers]
        count = 64
        pin = false
        [delivery]
        retry_schedule = ["500ms", "15s", "2h", "7d"]
        retry_jitter = 1
        disable_after = 0
        [egress]
        allow_networks = ["127.0.0.0/8", "::1", "fd00::/8"]
        allow_hosts = ["Inside.example", "*.corp.example"]
        refuse_ports = [25, 6000]
        nameservers = ["10.0.0.53:53", "[::1]:5353"]
        ca_file = "ca.pem"
        proxy = "http://[2001:db8::1]:3128"
        [features]
        feature.integrations.webhooks = false
        "#
        .replace("1000B", "2000B")
        .as_str(),
    );
    assert_eq!(config.ingest.socket, Path::new("/var/lib/postrider/ingest.sock"), "follows data_dir");
    assert_eq!(config.ingest.listen, "[::1]:8081".parse().ok());
    assert_eq!(config.ingest.socket_mode, FileMode(0o600));
    assert_eq!((config.ingest.max_event_size, config.ingest.max_request_size), (Size(2000), Size(64 << 20)));
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(config.workers, Workers { count: 64, pin: false });
    let waits: Vec<u64> = config.delivery.retry_schedule.iter().map(std::time::Duration::as_secs).collect();
    assert_eq!(waits, [0, 15, 7200, 604_800]);
    assert_eq!((config.delivery.retry_jitter, config.delivery.disable_after), (1.0, Duration::ZERO));
    let networks: Vec<String> = config.egress.allow_networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["127.0.0.0/8", "::1/128", "fd00::/8"]);
    let hosts: Vec<&str> = config.egress.allow_hosts.iter().map(|host| host.0.as_str()).collect();
    assert_eq!(hosts, ["inside.example", "*.corp.example"]);
    assert_eq!(config.egress.refuse_ports, [Port(25), Port(6000)]);
    assert_eq!(config.egress.nameservers.len(), 2);
    assert_eq!(config.egress.proxy.as_ref().map(ToString::to_string).unwrap(), "http://[2001:db8::1]:3128");
    assert!(!config.features.webhooks);
    assert_eq!(good(&config.to_toml()), config, "what is printed reads back");
}

#[test]
fn defaults_follow_what_is_set() {
    assert_eq!(good("delivery.timeout = \"2s\"").delivery.connect_timeout, Duration::from_secs(2));
    assert_eq!(good("ingest.max_request_size = \"100KiB\"").ingest.max_event_size, Size(100 << 10));
    assert_eq!(good("breaker.open_max = \"1s\"").breaker.open, Duration::from_secs(1));
    assert_eq!(good("retention.events = \"1h\"").retention.dedupe_window, Duration::from_secs(3600));
}

#[test]
fn errors() {
    let check = |text: &str, want: &[&str]| {
        let said = load(text, &[]).map(|_| ()).unwrap_err();
        assert_eq!(said.len(), want.len(), "{text}: {said:#?}");
        for (said, want) in said.iter().zip(want) {
            assert!(said.starts_with(want), "{said}\n{want}");
        }
    };
    let line = |problem: &str| format!("config.toml:1: {problem}");
    let one = |text: &str, problem: &str| check(text, &[&line(problem)]);

    one("delivery.timout = \"1s\"", "delivery.timout: unknown key, did you mean delivery.timeout?");
    one("timeout = \"1s\"", "timeout: unknown key, did you mean delivery.timeout?");
    one("[delivry]", "delivry: unknown key");
    one("zzz = 1", "zzz: unknown key");
    one("admin = 1", "admin: must be a section, such as [admin], is a number");
    one("data_dir = [1]", "data_dir: must be a path, is a list");
    one("data_dir = \"\"", "data_dir: must be a path, is \"\"");
    one("[data_dir]", "data_dir: must be a path, is a table");
    one("[host]", "host: must be a list of tables");
    one("host = [1]", "host: must be a list of tables");
    one("workers.count = -1", "workers.count: must be a whole number, not negative, is \"-1\"");
    one("workers.count = 99999999999999999999", "workers.count: must be a number, is \"too large\"");
    one("workers.count = 65", "workers.count: must be from 0 to 64, is 65");
    one("workers.count = 1.5", "workers.count: must be a whole number, not negative, is a number");
    one("workers.pin = 1", "workers.pin: must be true or false, is a number");
    one("delivery.timeout = 15", "delivery.timeout: must be a duration such as");
    one("delivery.timeout = \"15 s\"", "delivery.timeout: must be a duration such as");
    one("delivery.timeout = \"0s\"", "delivery.timeout: must be from 1ms to 5m, is 0s");
    one(
        "delivery.connect_timeout = \"20s\"",
        "delivery.connect_timeout: must be at most delivery.timeout (15s), is 20s",
    );
    one("delivery.retry_jitter = 1.1", "delivery.retry_jitter: must be from 0 to 1, is 1.1");
    one("delivery.retry_jitter = nan", "delivery.retry_jitter: must be a number, is \"NaN\"");
    one("delivery.retry_schedule = [\"1s\", \"x\"]", "delivery.retry_schedule: must be a duration such as");
    one("breaker.failure_ratio = 0", "breaker.failure_ratio: must be above 0 and at most 1, is \"0\"");
    one("breaker.open = \"10m\"", "breaker.open: must be at most breaker.open_max (5m), is 10m");
    one("ingest.max_event_size = \"256KB\"", "ingest.max_event_size: must be a size such as");
    one("ingest.max_event_size = 256", "ingest.max_event_size: must be a size such as");
    one(
        "ingest.max_event_size = \"32MiB\"",
        "ingest.max_event_size: must be at most ingest.max_request_size (16MiB), is 32MiB",
    );
    one(
        "ingest.max_request_size = \"65MiB\"",
        "ingest.max_request_size: must be from 1KiB to 64MiB, is 65MiB",
    );
    one("ingest.socket_mode = \"0888\"", "ingest.socket_mode: must be permissions in octal");
    one("ingest.socket_mode = 432", "ingest.socket_mode: must be permissions in octal");
    one(&format!("data_dir = \"{}\"", "x".repeat(100)), "data_dir: must be at most 107 bytes, has 112");
    one("admin.listen = \"8080\"", "admin.listen: must be an address and port");
    one("admin.listen = \"\"", "admin.listen: must be an address and port");
    one("egress.allow_networks = [\"10.0.0.1/8\"]", "egress.allow_networks: must be a range of addresses");
    one("egress.allow_networks = [\"10.0.0.0/33\"]", "egress.allow_networks: must be a range of addresses");
    one("egress.allow_networks = [\"10.0.0.0/+8\"]", "egress.allow_networks: must be a range of addresses");
    one("egress.proxy = \"https://p:1\"", "egress.proxy: must be a proxy such as");
    one("egress.allow_hosts = [\"10.0.0.1\"]", "egress.allow_hosts: must be names such as");
    one("egress.refuse_ports = [0]", "egress.refuse_ports: must be ports from 1 to 65535, is \"0\"");
    one("egress.refuse_ports = [65536]", "egress.refuse_ports: must be ports from 1 to 65535");
    one("egress.nameservers = [\"10.0.0.53\"]", "egress.nameservers: must be an address and port");
    one("egress.proxy = \"http://p\"", "egress.proxy: must be a proxy such as");
    one(
        "retention.dedupe_window = \"8d\"",
        "retention.dedupe_window: must be at most retention.events (7d), is 8d",
    );
    one(
        "features.\"feature.integrations.webhook\" = true",
        "features.feature.integrations.webhook: unknown key, did you mean features.feature.integrations.webhooks?",
    );
    one("host = [{}]", "host[0].host: must not be empty");
    one("host = [{host = \"a b\"}]", "host[0].host: must be a name or address");
    one("host = [{host = \"a\", spred = 2}]", "host[0].spred: unknown key, did you mean host[].spread?");
    one(
        "host = [{host = \"a\", client_key = \"k\"}]",
        "host[0].client_key: needs client_certificate beside it",
    );
    one("host = [{host = \"a\"}, {host = \"A\"}]", "host[1].host: \"A\" is there twice");
    one("event_type = [{id = \"x y\", name = \"n\", group = \"g\"}]", "event_type[0].id: must be words");
    one(
        "event_type = [{id = \"user.deleted\", name = \"n\", group = \"g\"}]",
        "event_type[0].id: \"user.deleted\" is taken",
    );
    one(
        "event_type = [{id = \"a\", name = \"n\", group = \"g\", sample = \"[]\"}]",
        "event_type[0].sample: must be a table, or a JSON object as text",
    );
    one("admin.listen = ", "string values must be quoted, expected literal string, in `admin.listen =`");
    check(
        "\"ingest.max_batch\" = 1\n[ingest]\nmax_batch = 2\n",
        &["config.toml:3: ingest.max_batch: is given twice"],
    );
    check("x = 1\nx = 2", &["config.toml:2: duplicate key, in `x = 2`"]);
    check(
        "\n[delivery]\ntimeout = \"x\"\nconnect_timeout = \"20s\"\ncolour = 1\n\n[[host]]\nhost = \"a\"\n\n[[host]]\nspread = 0\n",
        &[
            "config.toml:3: delivery.timeout: must be a duration",
            "config.toml:5: delivery.colour: unknown key",
            "config.toml:10: host[1].host: must not be empty",
            "config.toml:11: host[1].spread: must be from 1 to 64, is 0",
        ],
    );
    check("a = \nb = 1\nc = [\n", &["config.toml:1: ", "config.toml:3: "]);
}

#[test]
fn environment() {
    let config = load(
        "[admin]\nlisten = \"127.0.0.1:1\"\n[[host]]\nhost = \"a\"\n",
        &[
            ("POSTRIDER_DATA_DIR", "/tmp/p"),
            ("POSTRIDER_ADMIN__LISTEN", "0.0.0.0:2"),
            ("POSTRIDER_DELIVERY__RETRY_SCHEDULE", "1s, 2s"),
            ("POSTRIDER_DELIVERY__RETRY_JITTER", "0.5"),
            ("POSTRIDER_EGRESS__ALLOW_NETWORKS", "[\"127.0.0.0/8\"]"),
            ("POSTRIDER_EGRESS__ALLOW_HTTP", "true"),
            ("POSTRIDER_FEATURES__FEATURE__INTEGRATIONS__WEBHOOKS", "false"),
            ("POSTRIDER_HOST", "[{host = \"b\", spread = 2}]"),
            ("POSTRIDER_OPERATOR_TOKEN", "prt_x"),
            ("POSTRIDER_LOG", "debug"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.ingest.socket, Path::new("/tmp/p/ingest.sock"));
    assert_eq!(config.admin.listen.port(), 2);
    assert_eq!(config.delivery.retry_schedule, [Duration::from_secs(1), Duration::from_secs(2)]);
    assert!((config.delivery.retry_jitter - 0.5).abs() < f64::EPSILON);
    assert_eq!(config.egress.allow_networks, [Cidr::parse("127.0.0.0/8").unwrap()]);
    assert!(config.egress.allow_http && !config.features.webhooks);
    assert_eq!(config.hosts.iter().map(|host| (&*host.host, host.spread)).collect::<Vec<_>>(), [("b", 2)]);

    let check = |name: &str, value: &str, want: &str| {
        assert_eq!(load("", &[(name, value)]).unwrap_err(), [want]);
    };
    check(
        "POSTRIDER_ADMIN__LISTN",
        "x",
        "POSTRIDER_ADMIN__LISTN: no such setting, did you mean POSTRIDER_ADMIN__LISTEN?",
    );
    check(
        "POSTRIDER_WORKERS__COUNT",
        "many",
        "POSTRIDER_WORKERS__COUNT: workers.count: must be a whole number, not negative, is text",
    );
    check("POSTRIDER_HOST", "[{}]", "POSTRIDER_HOST: host[0].host: must not be empty");
    check("POSTRIDER_X__Y", "1", "POSTRIDER_X__Y: no such setting");
    let both = load("zzz = 1", &[("POSTRIDER_WORKERS__COUNT", "99")]).unwrap_err();
    assert_eq!(both.len(), 2, "variables come last: {both:?}");
    assert!(both[1].starts_with("POSTRIDER_"));
}

#[test]
fn ranges_of_addresses() {
    let check = |range: &str, address: &str, want: bool| {
        assert_eq!(Cidr::parse(range).unwrap().contains(address.parse().unwrap()), want, "{range} {address}");
    };
    check("10.0.0.0/8", "10.255.0.1", true);
    check("10.0.0.0/8", "11.0.0.0", false);
    check("0.0.0.0/0", "192.0.2.1", true);
    check("0.0.0.0/0", "::1", false);
    check("::/0", "::1", true);
    check("192.0.2.1", "192.0.2.1", true);
    check("192.0.2.1", "192.0.2.2", false);
}

proptest! {
    #[test]
    fn durations_and_sizes_read_back(ms in 0u64..=3_650 * 86_400_000, bytes in any::<u64>()) {
        let duration = Duration::from_millis(ms);
        prop_assert_eq!(parse_duration(&write_duration(duration)), Some(duration));
        let read = value::Setting::read(&toml::Value::String(Size(bytes).to_string()));
        prop_assert_eq!(read, Ok(Size(bytes)));
    }

    /// Shuffled pieces of real configurations: never a panic, and what is taken reads back as itself.
    #[test]
    fn any_text_is_taken_or_refused(pieces in proptest::collection::vec(piece(), 0..12)) {
        if let Ok(config) = load(&pieces.join("\n"), &[]) {
            prop_assert_eq!(load(&config.to_toml(), &[]), Ok(config));
        }
    }

    #[test]
    fn any_variable_is_taken_or_refused(value in "\\PC{0,40}", which in 0usize..60) {
        let keys: Vec<String> = Known::new().keys().map(str::to_owned).collect();
        let name = keys[which % keys.len()].replace('.', "__").to_uppercase();
        let _ = load("", &[(&format!("POSTRIDER_{name}"), &value)]);
    }
}

fn piece() -> impl Strategy<Value = String> {
    let lines: Vec<String> = SHIPPED.lines().map(|line| line.trim_start_matches("# ").to_owned()).collect();
    prop_oneof![
        9 => proptest::sample::select(lines),
        1 => "[\\[\\]a-z_\\.\"'= 0-9{},]{0,30}",
        1 => Just("[[host]]\nhost = \"a\\\"b\"".to_owned()),
        1 => "delivery\\.timeout = \"[0-9]{1,20}(ms|s|m|h|d)\"",
    ]
}
