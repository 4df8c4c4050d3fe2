//! The program: everything it does is a command in [`postrider::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    postrider::cli::run()
}
