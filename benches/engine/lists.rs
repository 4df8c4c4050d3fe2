//! Whether any page or call takes long with 100 000 subscriptions and ten million attempts in the store.
//!
//! `cargo bench --bench engine -- lists`. Filling takes a few minutes and 1 GB of disk. `LISTS_SCALE=0.01`
//! fills less; `LISTS_STORE=<directory>` fills it once, keeps it, and measures it again the next time.
//!
//! Each call is timed by a client on a kept-alive connection to the real binary. What is compared with the bar
//! is the longest of a few calls, in the best of three rounds: other programs on the machine are no part of
//! the answer.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{Engine, TOKEN, directory};
use crate::filled::{Shape, fill};
use crate::http::Client;
use crate::lists_calls::{Call, calls};
use crate::proc;
use crate::table::{Row, Table, median};

const ROUNDS: usize = 3;
const CALLS: usize = 5;
const MS_MAX: f64 = 100.0;
const RESIDENT_MIB_MAX: f64 = 200.0;
/// Until what was found at the start is counted.
const COUNTED_MAX: Duration = Duration::from_secs(30);
/// Retention that drops nothing of the month.
const CONFIG: &str = "[retention]\nevents = \"40d\"\nattempts = \"40d\"\ndead_letters = \"40d\"";

/// Asks the admin port as its operator.
pub struct Desk {
    client: Client<TcpStream>,
    host: String,
}

impl Desk {
    fn new(engine: &Engine) -> Self {
        let stream = TcpStream::connect(engine.admin()).expect("the admin port");
        stream.set_nodelay(true).expect("a socket");
        Self { client: Client::new(stream), host: engine.admin().to_owned() }
    }

    /// Status, answer, and milliseconds.
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&str>) -> (u16, Vec<u8>, f64) {
        let body = body.unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len(),
        );
        let start = Instant::now();
        let (status, answer) = self.client.call(request.as_bytes());
        (status, answer, start.elapsed().as_secs_f64() * 1e3)
    }

    pub fn get(&mut self, path: &str) -> serde_json::Value {
        let (status, answer, _) = self.ask("GET", path, None);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("JSON")
    }
}

pub fn run(table: &mut Table) {
    let scale = std::env::var("LISTS_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let shape = Shape::of(scale);
    let kept = std::env::var_os("LISTS_STORE").map(std::path::PathBuf::from);
    let passing = kept.is_none().then(directory);
    let path = kept.as_deref().or(passing.as_ref().map(tempfile::TempDir::path)).expect("one of both");
    let done = path.join("filled");
    if !done.exists() {
        let start = Instant::now();
        let filled = fill(path, shape);
        std::fs::write(&done, format!("{} {}", filled.events, filled.attempts)).expect("is written");
        eprintln!("  filled in {:.0} s", start.elapsed().as_secs_f64());
    }
    let text = std::fs::read_to_string(&done).expect("is there");
    let (events, attempts) = text.split_once(' ').expect("two numbers");
    let what = format!("{} subscriptions, {events} events, {attempts} attempts", shape.subscriptions);
    measure(table, path, shape, events.parse().expect("a number"), &what);
}

fn measure(table: &mut Table, path: &Path, shape: Shape, events: u64, what: &str) {
    let start = Instant::now();
    let engine = Engine::start_on(path, CONFIG);
    let ready = start.elapsed().as_secs_f64() * 1e3;
    let mut desk = Desk::new(&engine);
    let resident = |engine: &Engine| proc::resident_kib(engine.pid()) as f64 / 1024.0;
    let at_start = resident(&engine);
    std::thread::sleep(COUNTED_MAX.min(Duration::from_secs(5)));
    table.add(Row {
        figure: format!("resident memory after the start: {what}"),
        measured: format!(
            "{at_start:.0} MiB; five seconds later {:.0}; ready after {ready:.0} ms",
            resident(&engine)
        ),
        reference: "–".to_owned(),
        ratio: "–".to_owned(),
        bar: format!("≤ {RESIDENT_MIB_MAX} MiB"),
        holds: Some(at_start.max(resident(&engine)) <= RESIDENT_MIB_MAX),
    });
    let calls = calls(&mut desk, shape, events);
    for kind in calls.chunk_by(|one, next| one.kind == next.kind) {
        let timed: Vec<_> = kind.iter().map(|call| time(&engine, &mut desk, call)).collect();
        table.add(row(&kind[0].kind, &timed));
    }
    table.add(Row {
        figure: "resident memory after all calls".to_owned(),
        measured: format!("{:.0} MiB", resident(&engine)),
        reference: "–".to_owned(),
        ratio: "–".to_owned(),
        bar: "–".to_owned(),
        holds: None,
    });
}

struct Timed {
    name: String,
    middle: f64,
    longest: f64,
    first: f64,
}

fn time(engine: &Engine, desk: &mut Desk, call: &Call) -> Timed {
    let (mut all, mut best, mut first, mut items) = (Vec::new(), f64::INFINITY, 0.0, None);
    for round in 0..ROUNDS {
        let mut longest: f64 = 0.0;
        for n in 0..CALLS {
            for path in &call.paths {
                let (status, answer, time) = desk.ask(call.method, path, call.body.as_deref());
                assert!(
                    call.answers.contains(&status),
                    "{path}: {status} {}",
                    String::from_utf8_lossy(&answer)
                );
                if round == 0 && n == 0 {
                    first = time.max(first);
                    items = counted(&answer);
                }
                longest = longest.max(time);
                all.push(time);
            }
            if call.ends_connection {
                *desk = Desk::new(engine);
            }
        }
        best = best.min(longest);
    }
    let name = format!("{}{}", call.name, items.map_or_else(String::new, |items| format!(" ({items})")));
    let timed = Timed { name, middle: median(&all), longest: best, first };
    eprintln!("    {}: p50 {:.1}, max {best:.1}, first {first:.1}", timed.name, timed.middle);
    timed
}

/// The slowest call of a kind.
fn row(kind: &str, timed: &[Timed]) -> Row {
    let longest = timed.iter().max_by(|one, other| one.longest.total_cmp(&other.longest)).expect("some");
    let first = timed.iter().map(|timed| timed.first).fold(0.0, f64::max);
    let middles: Vec<f64> = timed.iter().map(|timed| timed.middle).collect();
    Row {
        figure: if timed.len() > 1 { format!("{kind}: {} calls", timed.len()) } else { kind.to_owned() },
        measured: format!("p50 {:.1} ms, max {:.1} ms", median(&middles), longest.longest),
        reference: match timed.len() {
            1 => format!("the first time {first:.1} ms"),
            _ => format!("slowest: {}; first times up to {first:.1} ms", longest.name),
        },
        ratio: "–".to_owned(),
        bar: format!("≤ {MS_MAX} ms"),
        holds: Some(longest.longest <= MS_MAX),
    }
}

/// What a list's page holds, or a count says.
fn counted(answer: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    if let Some(matched) = answer.get("matched") {
        return Some(format!("{matched} matched"));
    }
    let items = answer.get("items")?.as_array()?.len();
    let more = if answer.get("next").is_some_and(|next| !next.is_null()) { ", and more" } else { "" };
    Some(format!("{items} items{more}"))
}
