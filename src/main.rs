//! The program: everything it does is a command in [`postrider::cli`].

use std::process::ExitCode;

/// An event's memory is taken by one thread and given back by another, a dozen pieces for each delivery:
/// what the system's allocator is slowest at (see BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    postrider::cli::run()
}
