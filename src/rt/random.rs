//! The only source of randomness: the operating system's.

/// `N` random bytes. Waits where the system has not gathered enough entropy yet (early boot).
///
/// # Panics
/// Where the system has no random source at all: without one no secret can be made.
#[must_use]
#[expect(clippy::expect_used, reason = "a machine without randomness cannot make secrets; nothing can go on")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    bytes
}
