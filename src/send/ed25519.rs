//! The asymmetric scheme of Standard Webhooks 1.0.0: `v1a,<base64 Ed25519>` over `id.timestamp.body`.
//!
//! The receiver gets a public key (`whpk_` and base64 of its 32 bytes) and can check what it gets without
//! being able to make it. The pair follows from a stored seed and is worked out once per version of a
//! subscription: an attempt pays for the signature alone. Deliberately absent: showing a private key
//! (`whsk_`), since nobody but the engine signs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};

/// What a public key's text begins with.
pub const PUBLIC_PREFIX: &str = "whpk_";

/// A key pair, ready to sign. `Debug` never shows it.
#[derive(Clone)]
pub struct KeyPair(Box<SigningKey>);

impl KeyPair {
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed)))
    }

    /// `whpk_` and base64: for receivers, and no secret.
    #[must_use]
    pub fn public_text(&self) -> String {
        let mut text = String::from(PUBLIC_PREFIX);
        STANDARD.encode_string(self.0.verifying_key().as_bytes(), &mut text);
        text
    }

    /// Appends `v1a,<base64>` to `out`. `message` is `id.timestamp.body` in one piece: Ed25519 goes over
    /// it twice.
    pub fn sign_into(&self, message: &[u8], out: &mut String) {
        out.push_str("v1a,");
        STANDARD.encode_string(self.0.sign(message).to_bytes(), out);
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair of the Svix server's test of this scheme, whose signature the standard's text shows too.
    #[test]
    fn public_vector() {
        let seed = STANDARD.decode("6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=").expect("base64");
        let pair = KeyPair::from_seed(seed.as_slice().try_into().expect("32 bytes"));
        assert_eq!(pair.public_text(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
        let mut out = String::new();
        pair.sign_into(b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}", &mut out);
        assert_eq!(
            out,
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
        );
        assert_eq!(format!("{pair:?}"), "KeyPair(…)");
    }
}
