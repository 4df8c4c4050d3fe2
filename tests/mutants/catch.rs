//! Runs the compiled tests with one fault switched on, and says what caught it.
//!
//! A run is ended at the first failure, and at its time limit: a fault that makes the core go round for
//! ever is caught as well. Memory is bounded, for one that makes it grow for ever.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::faults::Fault;

/// Seeds of the simulation, few first: most faults are found by the first.
const SEEDS: [u32; 2] = [8, 64];
/// Time that one run may take: many times what a sound one takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// KiB of address space that a run may have.
const MEMORY_KIB: u32 = 4 << 20;
/// Modules that the simulation runs; faults in others are for the unit tests alone.
const SIMULATED: [&str; 4] = ["model/", "route/", "schedule/", "settle/"];

#[derive(Debug, PartialEq)]
pub enum Caught {
    /// What it said first.
    Simulation(String),
    /// Their names or, where the run ended otherwise, how.
    UnitTest(String),
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulation(said) => write!(f, "sim: {said}"),
            Self::UnitTest(name) => write!(f, "test: {name}"),
        }
    }
}

/// How a run ended.
enum End {
    Passed,
    Failed(String),
}

pub struct Binaries {
    folder: PathBuf,
    unit: PathBuf,
    sim: PathBuf,
}

impl Binaries {
    /// Compiles the copy into the target directory of this very build: dependencies are there already.
    pub fn build(folder: &Path) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder in it");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(folder).env("CARGO_TARGET_DIR", target);
        // What cargo tells this test of its own package would make build scripts of dependencies run again.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|begin| name.starts_with(begin)) {
                cargo.env_remove(&*name);
            }
        }
        cargo.args(["test", "--locked", "--offline", "--no-default-features", "--lib", "--test", "sim"]);
        cargo.args(["--no-run", "--message-format=json", "--quiet"]);
        let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let (mut unit, mut sim) = (None, None);
        for message in messages {
            if let Some(error) = message.pointer("/message/rendered").and_then(|text| text.as_str())
                && !output.status.success()
            {
                eprintln!("{error}");
            }
            let Some(path) = message["executable"].as_str() else { continue };
            match message["target"]["name"].as_str() {
                Some("sim") => sim = Some(path.into()),
                _ => unit = Some(path.into()),
            }
        }
        assert!(output.status.success(), "the copy with the faults does not compile");
        let built = |path: Option<PathBuf>| path.expect("cargo names what it built");
        Self { folder: folder.to_owned(), unit: built(unit), sim: built(sim) }
    }

    /// What fails with no fault at all.
    pub fn check_sound(&self) -> Option<Caught> {
        self.simulate(0, SEEDS[SEEDS.len() - 1]).or_else(|| self.test(0, ""))
    }

    pub fn catch(&self, number: usize, fault: &Fault) -> Option<Caught> {
        let simulated = SIMULATED.iter().any(|module| fault.file.starts_with(module));
        let by_sim =
            if simulated { SEEDS.into_iter().find_map(|seeds| self.simulate(number, seeds)) } else { None };
        // Those of its own module first.
        let module = fault.file.split('/').next().unwrap_or_default();
        by_sim.or_else(|| self.test(number, &format!("{module}::"))).or_else(|| self.test(number, ""))
    }

    fn simulate(&self, number: usize, seeds: u32) -> Option<Caught> {
        let mut command = self.command(&self.sim, number);
        command.env("SIM_SEEDS", seeds.to_string()).arg("--nocapture");
        match run(command, Listen::Stderr) {
            End::Passed => None,
            End::Failed(how) => Some(Caught::Simulation(how)),
        }
    }

    fn test(&self, number: usize, only: &str) -> Option<Caught> {
        let mut command = self.command(&self.unit, number);
        command.args([only, "--test-threads=1"]);
        match run(command, Listen::Stdout) {
            End::Passed => None,
            End::Failed(how) => Some(Caught::UnitTest(how)),
        }
    }

    fn command(&self, binary: &Path, number: usize) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"")).arg(binary);
        command.current_dir(&self.folder).env("MUTANT", number.to_string()).env("RUST_BACKTRACE", "0");
        // Of one failure no trace is kept that the next fault would find.
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1").env("PROPTEST_MAX_SHRINK_ITERS", "0");
        command.env_remove("SIM_SEED").env_remove("SIM_SEEDS").env_remove("SIM_TRACE");
        command
    }
}

/// Where a run says what is wrong first.
#[derive(Clone, Copy, PartialEq)]
enum Listen {
    /// The simulation, which is not captured: what it panics with.
    Stderr,
    /// Tests by their names.
    Stdout,
}

/// Until its end, its first failure or the end of patience.
fn run(mut command: Command, listen: Listen) -> End {
    let began = Instant::now();
    let (stdout, stderr) = match listen {
        Listen::Stdout => (Stdio::piped(), Stdio::null()),
        Listen::Stderr => (Stdio::null(), Stdio::piped()),
    };
    let mut child = command.stdout(stdout).stderr(stderr).spawn().expect("it was built");
    let (sender, lines) = channel();
    let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
    let pipe = stdout.or(stderr).expect("one is piped");
    std::thread::spawn(move || {
        // Nobody listens any more once it has failed.
        BufReader::new(pipe).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    let mut panicked = false;
    loop {
        match lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
            Ok(line) if listen == Listen::Stderr => {
                // The line below says what went wrong.
                if panicked && !line.trim().is_empty() {
                    return failed(child, &line);
                }
                panicked |= line.contains(" panicked at ");
            }
            Ok(line) => {
                if let Some(name) =
                    line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
                {
                    return failed(child, name);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                return failed(child, &format!("no end within {} s", PATIENCE.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().expect("it is a child");
    if status.success() { End::Passed } else { End::Failed(format!("it ended with {status}")) }
}

fn failed(mut child: Child, how: &str) -> End {
    child.kill().expect("it is a child");
    child.wait().expect("it is a child");
    // What assertions say of themselves is the same for all.
    let told = how.rsplit("failed: ").next().unwrap_or(how);
    let short: String = told.trim().chars().take(100).collect();
    End::Failed(short)
}
