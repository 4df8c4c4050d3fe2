//! The engine as a whole loses its power: the real binary with everything in its data directory, its
//! command that makes backups beside it, and receivers that know what has arrived.
//!
//! After a cut it must start by itself; whoever was told something finds it so; what was accepted arrives, if
//! it had not before; a backup is whole, or none.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::cuts::scratch;
use crate::disk::Disk;
use crate::http::{call, event};
use crate::image::{Image, MANNERS};
use crate::layer;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply, Request};
use crate::record::{Line, Notes, Record, fact};
use crate::rng::Rng;
use crate::told::{Reliance, Shown, Told};
use crate::wait::{PATIENCE, until_within};

const LIFE: Duration = Duration::from_millis(2500);
/// Accepted and not arrived yet, at most.
const AHEAD_MAX: usize = 300;
/// One of a type that only the configuration knows, which nobody sends.
const TYPES: &str = "[[event_type]]\nid = \"parking.spot_taken\"\nname = \"n\"\ngroup = \"Parking\"\n";

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn number_of(request: &Request) -> u64 {
    request.id.strip_prefix("k-").and_then(|number| number.parse().ok()).expect("an event of ours")
}

struct Recorded {
    /// The record's place.
    dir: TempDir,
    receiver: Receiver,
    base: Disk<'static>,
}

/// What does not change between lives.
struct Load<'a> {
    dir: &'a Path,
    root: PathBuf,
    options: Options,
    layer: PathBuf,
    notes: Notes,
    receiver: &'a Receiver,
    arrived: Arc<Mutex<usize>>,
    rng: Rng,
    next: u64,
}

fn options(data_dir: PathBuf, environment: &'static [(&'static str, &'static str)]) -> Options {
    let retries: &[&str] = &["200ms", "200ms", "1s", "1s", "1s"];
    Options { retries, more: TYPES.to_owned(), data_dir: Some(data_dir), environment, ..Options::default() }
}

/// Two lives, with a backup in the first and its restoring after the second.
fn record(seed: u64) -> Recorded {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().canonicalize().unwrap();
    let (root, file) = (top.join("disk"), top.join("record"));
    std::fs::create_dir(&root).unwrap();
    let base = Disk::of(&root);
    let library = layer::build(&top);
    let receiver = Receiver::start();
    let environment = layer::environment(&library, &root, &file);
    let environment = environment.map(|(name, path)| (name, &*path.to_str().unwrap().to_owned().leak()));
    let mut load = Load {
        dir: &top,
        options: options(root.join("data"), Vec::leak(environment.to_vec())),
        root: root.clone(),
        layer: library,
        notes: Notes::open(&file),
        receiver: &receiver,
        arrived: Arc::default(),
        rng: Rng::of(seed, 5),
        next: 0,
    };
    load.listen();
    load.live(true);
    load.live(false);
    assert!(load.command(&["restore", "backup", "--to", "restored"]).status.success());
    load.notes.note(&Told::Restored);
    drop(load);
    let record = Record::read(&file);
    let mut disk = base.clone();
    record.lines().iter().for_each(|line| disk.take(line));
    assert!(Image::whole(&disk) == Image::read(&root), "something has escaped the layer");
    Recorded { dir, receiver, base }
}

impl Load<'_> {
    fn listen(&self) {
        let (notes, arrived) = (self.notes.clone(), Arc::clone(&self.arrived));
        self.receiver.on("/all", move |request| {
            let number = number_of(request);
            if number % 7 == 3 && request.attempt == 1 {
                return Reply::Status(500);
            }
            notes.note(&Told::Arrived { number, at: now() });
            *arrived.lock().unwrap() += 1;
            Reply::Status(200)
        });
    }

    fn live(&mut self, first: bool) {
        let engine = Engine::start(self.dir, &self.options);
        self.notes.note(&Told::Ready { token: engine.token.clone() });
        if first {
            self.change(&engine, 0, Some("all"), None);
        }
        let made = json!({"name": "n", "kind": "user", "role": "viewer"});
        let made = engine.api("POST", "/accounts/acme/tokens", Some(&made)).want(201).json();
        self.notes.note(&Told::Token { secret: made["token"].as_str().unwrap().to_owned() });
        let mut shown: Vec<Option<Shown>> = vec![None; 3];
        let server = format!("http://{}", engine.admin);
        std::thread::scope(|scope| {
            let end = Instant::now() + LIFE;
            let mut backup = None;
            while Instant::now() < end {
                self.send(&engine);
                if self.rng.chance(15) {
                    let slot = self.rng.below(shown.len());
                    let name = format!("n{}", self.next);
                    let to = (shown[slot].is_none() || self.rng.chance(60)).then_some(name.as_str());
                    // Slots of a life are its own.
                    let number = slot as u64 + if first { 1 } else { 11 };
                    shown[slot] = self.change(&engine, number, to, shown[slot].take());
                }
                if first && backup.is_none() && end - Instant::now() < LIFE / 2 {
                    self.notes.note(&Told::BackingUp);
                    let mut command = self.prepared(&["backup", "backup", "--server", &server, "--with-key"]);
                    let notes = self.notes.clone();
                    backup = Some(scope.spawn(move || {
                        let said = command.output().unwrap();
                        assert!(said.status.success(), "{said:?}");
                        notes.note(&Told::BackedUp);
                    }));
                }
            }
        });
        engine.terminate();
    }

    fn send(&mut self, engine: &Engine) {
        let count = 1 + self.rng.below(20) as u64;
        let first = self.next;
        self.next += count;
        let events: Vec<_> = (first..self.next)
            .map(|number| event("acme", "user.created", &format!("k-{number}"), r#"{"n":1}"#))
            .collect();
        self.notes.note(&Told::Sending { first, count, at: now() });
        engine.ingest().send(&events).unwrap().want(202);
        self.notes.note(&Told::Accepted { first });
        let goal = (self.next as usize).saturating_sub(AHEAD_MAX);
        until_within("deliveries", PATIENCE, || {
            let arrived = *self.arrived.lock().unwrap();
            if arrived >= goal { Ok(()) } else { Err(arrived) }
        });
    }

    /// Makes, renames or deletes the subscription of a slot.
    fn change(&self, engine: &Engine, slot: u64, to: Option<&str>, held: Option<Shown>) -> Option<Shown> {
        let (to, mut shown) = (to.map(str::to_owned), None);
        self.notes.note(&Told::Changing { slot, to: to.clone() });
        match (held, to) {
            (held, Some(name)) => {
                let events = if slot == 0 { "*" } else { "parking.spot_taken" };
                let (id, secret) = match held {
                    Some(held) => {
                        engine.patch("acme", &held.id, &json!({"name": name}));
                        (held.id, held.secret)
                    }
                    None => {
                        let more = json!({"name": name});
                        let id = engine.subscribe(self.receiver, "acme", "/all", &[events], &more);
                        (id.clone(), engine.secret("acme", &id))
                    }
                };
                shown = Some(Shown { id, name, secret });
            }
            (Some(held), None) => {
                let path = format!("/accounts/acme/subscriptions/{}", held.id);
                engine.api("DELETE", &path, None).want(204);
            }
            (None, None) => {}
        }
        self.notes.note(&Told::Changed { slot, to: shown.clone() });
        shown
    }

    /// A command on the recorded disk.
    fn prepared(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.root, &self.dir.join("config.toml"), arguments);
        command.envs(layer::environment(&self.layer, &self.root, &self.dir.join("record")));
        command
    }

    fn command(&self, arguments: &[&str]) -> Output {
        self.prepared(arguments).output().unwrap()
    }
}

fn command(at: &Path, config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(arguments).arg("--config").arg(config).current_dir(at);
    for name in ["SERVER", "TOKEN", "ACCOUNT", "OPERATOR_TOKEN"] {
        command.env_remove(format!("POSTRIDER_{name}"));
    }
    command
}

#[test]
fn an_engine_starts_after_a_power_cut_and_keeps_its_word() {
    let _alone = crate::spawning();
    let seed = crate::seed();
    let recorded = record(seed);
    let record = Record::read(&recorded.dir.path().join("record"));
    let lines = record.lines();
    let fact_at = |at: usize| matches!(lines[at], Line::Fact { .. });
    let first = (0..lines.len()).find(|at| fact_at(*at)).expect("it was ready once");
    println!("POWER_SEED={seed}, {} lines, ready at {first}", lines.len());
    let chosen = crate::number("POWER_ENGINE_CUT").map_or(0..crate::cuts() / 25, |one| one..one + 1);
    let mut cuts: Vec<(usize, u64)> = chosen
        .map(|number| {
            let mut rng = Rng::of(seed ^ 0xE, number);
            // A fourth of them before it was ever ready.
            let at = if number % 4 == 1 { rng.below(first) } else { first + rng.below(lines.len() - first) };
            (at, number)
        })
        .collect();
    cuts.sort_unstable();
    let (mut disk, mut reliance) = (recorded.base.clone(), Reliance::default());
    for (at, number) in &cuts {
        for line in &lines[disk.now..*at] {
            disk.take(line);
            if let Line::Fact { json } = line {
                reliance.take(fact(json));
            }
        }
        let manner = MANNERS[*number as usize % MANNERS.len()];
        println!("POWER_ENGINE_CUT={number}: {manner:?} at {at}, {} accepted", reliance.accepted.len());
        let top = scratch();
        std::fs::create_dir(top.path().join("disk")).unwrap();
        Image::of(&disk, manner, &mut Rng::of(seed ^ 0xF, *number)).write(&top.path().join("disk"));
        started(top.path(), &recorded.receiver, &reliance);
        backed_up(top.path(), &reliance);
    }
    println!("{} cuts, each started and kept its word", cuts.len());
}

fn started(top: &Path, receiver: &Receiver, reliance: &Reliance) {
    let arrived: Arc<Mutex<Vec<u64>>> = Arc::default();
    let noting = Arc::clone(&arrived);
    receiver.on("/all", move |request| {
        noting.lock().unwrap().push(number_of(request));
        Reply::Status(200)
    });
    let engine = Engine::start(top, &options(top.join("disk/data"), &[]));
    for left in ["checkpoint", "checkpoint.tmp"] {
        assert!(!top.join("disk/data").join(left).exists(), "{left} holds on to files");
    }
    if let Some(token) = &reliance.token {
        assert_eq!(engine.token, *token, "the operator's token is another");
    }
    for token in &reliance.tokens {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        call(engine.admin, "GET", "/api/v1/me", &headers, b"").unwrap().want(200);
    }
    for slot in reliance.slots.values() {
        let Some(shown) = &slot.shown else { continue };
        let path = format!("/accounts/acme/subscriptions/{}", shown.id);
        let found = engine.api("GET", &path, None);
        let name = (found.status == 200).then(|| found.json()["name"].as_str().unwrap().to_owned());
        assert!(name.as_ref() == Some(&shown.name) || slot.may.contains(&name), "{slot:?} is {name:?}");
        if name.is_some() {
            assert_eq!(engine.secret("acme", &shown.id), shown.secret);
        }
    }
    // It takes what is new, and what was accepted arrives or has done so.
    if reliance.slots.contains_key(&0) && reliance.slots[&0].shown.is_some() {
        let fresh = u64::MAX;
        engine
            .ingest()
            .send(&[event("acme", "user.created", &format!("k-{fresh}"), "{}")])
            .unwrap()
            .want(202);
        until_within("what was accepted to arrive", PATIENCE, || {
            let here = arrived.lock().unwrap();
            let lacks = |number: &u64| !reliance.arrived.contains_key(number) && !here.contains(number);
            let lost: Vec<_> = reliance.accepted.iter().copied().chain([fresh]).filter(lacks).collect();
            if lost.is_empty() { Ok(()) } else { Err(lost) }
        });
        engine.until_quiet();
        let here = arrived.lock().unwrap();
        let never: Vec<_> = here.iter().filter(|n| **n != fresh && !reliance.was_sent(**n)).collect();
        assert!(never.is_empty(), "arrived and were never sent: {never:?}");
        let again: Vec<_> = here.iter().filter(|number| reliance.is_settled(**number)).collect();
        assert!(again.is_empty(), "had long arrived and came again: {again:?}");
        println!("  {} arrived, of {} that had before", here.len() - 1, reliance.arrived.len());
    }
    assert_eq!(engine.terminate(), Some(0));
}

/// A backup that has its list is whole, and one that was reported has it; what it makes is whole as well.
fn backed_up(top: &Path, reliance: &Reliance) {
    let disk = top.join("disk");
    let run = |arguments: &[&str]| command(&disk, &top.join("config.toml"), arguments).output().unwrap();
    let verify = |path: &str, at_least: usize| {
        let said = run(&["verify-store", "--data-dir", path, "--json"]);
        assert!(said.status.success(), "{path}: {said:?}");
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        assert!(said["events"].as_u64() >= Some(at_least as u64), "{path}: {said}");
    };
    let has_list = disk.join("backup/backup.json").exists();
    if let Some(events) = reliance.backed_up {
        assert!(has_list, "a backup that was reported is none");
        verify("backup", events);
    }
    if has_list {
        let said = run(&["restore", "backup", "--to", "again"]);
        assert!(said.status.success(), "{said:?}");
        verify("again", reliance.backed_up.unwrap_or_default());
    }
    let restored = disk.join("restored/store").exists();
    assert!(restored || !reliance.restored, "a restored store is gone");
    if restored {
        verify("restored", reliance.backed_up.unwrap_or_default());
        for name in ["event-types.json", "secrets.key"] {
            assert!(disk.join("restored").join(name).exists(), "restored without {name}");
        }
    }
}
