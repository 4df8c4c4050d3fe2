//! The console page as people use it: Chromium, driven by Playwright, against the real binary and a real
//! receiver. What is done in the page stands in `tests/browser`, one function a scenario; here is what it
//! is done against. A failed step is named and its screenshot kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};

/// Installs what is missing and gives the directory.
fn installed() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/browser");
    let output = Command::new(script).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/browser cannot install what this test needs: {said}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

struct Rig {
    engine: Engine,
    receiver: Receiver,
    browser: PathBuf,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn start(options: &Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let receiver = Receiver::start();
        receiver.on("/fails", |_| Reply::Status(500));
        Self { engine: Engine::start(dir.path(), options), receiver, browser: installed(), _dir: dir }
    }

    /// Plays a function of a file in `tests/browser`.
    fn play(&self, file: &str, function: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
        let output = Command::new(self.browser.join("python/bin/python"))
            .arg("-B")
            .arg(folder.join("run.py"))
            .args([file, function])
            .env("POSTRIDER_ORIGIN", format!("http://{}", self.engine.admin))
            .env("POSTRIDER_TOKEN", &self.engine.token)
            .env("POSTRIDER_RECEIVER", self.receiver.url(""))
            .env("POSTRIDER_SOCKET", &self.engine.socket)
            .env("POSTRIDER_CHROMIUM", self.browser.join("chromium"))
            .env("POSTRIDER_SHOTS", shots)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{file}.{function}:\n{out}\n{err}");
        assert!(out.ends_with("done\n"), "{out}");
    }
}

fn played(file: &str, function: &str) {
    Rig::start(&Options::default()).play(file, function);
}

#[test]
fn the_page_is_as_the_mission_describes_it() {
    played("webhooks", "described");
}

#[test]
fn what_is_wrong_stands_beside_its_field() {
    played("webhooks", "refused");
}

#[test]
fn it_is_used_by_keyboard_alone() {
    played("keyboard", "whole");
}

#[test]
fn each_sees_what_they_may() {
    played("roles", "rights");
}

#[test]
fn a_flag_that_is_off_hides_the_tab() {
    played("roles", "flag");
}

#[test]
fn many_are_searched_and_paged() {
    played("webhooks", "many");
}

#[test]
fn deliveries_are_seen_as_they_happen_and_sent_once_more() {
    let options = Options { retries: &["1s"], ..Options::default() };
    let rig = Rig::start(&options);
    // It fails until there is a request by hand: what was missed arrives when it is sent once more.
    let failures = std::sync::atomic::AtomicUsize::new(0);
    rig.receiver.on("/breaks", move |_| {
        let so_far = failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Reply::Status(if so_far < 2 { 500 } else { 204 })
    });
    rig.play("deliveries", "whole");
}

#[test]
fn the_operator_sees_how_all_of_it_does() {
    // What fails waits for its retry as long as one looks.
    Rig::start(&Options { retries: &["1h"], ..Options::default() }).play("overview", "whole");
}

#[test]
fn it_fits_light_and_dark_wide_and_narrow() {
    played("looks", "everywhere");
}

#[test]
fn what_was_missed_is_recovered_in_the_page() {
    played("recover", "missed");
}

#[test]
fn the_description_of_the_api_is_read() {
    played("docs", "whole");
}

#[test]
fn the_description_of_the_api_is_read_by_keyboard_alone() {
    played("docs", "keyboard");
}

#[test]
fn a_payload_filter_is_written_tried_and_kept() {
    played("filter", "whole");
}

#[test]
fn a_host_that_is_left_alone_is_said_in_words() {
    let breaker = "min_requests = 2\nopen = \"5m\"";
    Rig::start(&Options { breaker, retries: &["1h"], ..Options::default() }).play("deliveries", "paused");
}
