//! Signatures of each kind, and what must not hold.

use std::fs;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use ring::rand::SystemRandom;
use serde_json::json;

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

pub fn claims() -> Claims {
    Claims {
        issuer: "iss".to_owned(),
        audience: "aud".to_owned(),
        account: "account".to_owned(),
        role: "role".to_owned(),
        licence: "platform_user".to_owned(),
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(3600),
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token for Ann, the owner of acme, signed by `sign`.
pub fn token(header: &Value, exp: u64, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let body = json!({"iss": "iss", "aud": "aud", "sub": "ann", "name": "Ann", "account": "acme",
        "role": "account_owner", "platform_user": true, "exp": exp});
    let message = format!("{}.{}", part(header), part(&body));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

pub fn hs256(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

const EXP: u64 = 1_800_000_600;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn key(&self, bytes: impl AsRef<[u8]>) -> Result<Jwt, JwtError> {
        let path = self.0.path().join("key");
        fs::write(&path, bytes).expect("is written");
        Jwt::open(JwtFiles { key: Some(path), set: None }, claims(), NOW)
    }

    fn set(&self, set: &Value) -> Result<Jwt, JwtError> {
        let path = self.0.path().join("set");
        fs::write(&path, set.to_string()).expect("is written");
        Jwt::open(JwtFiles { key: None, set: Some(path) }, claims(), NOW)
    }
}

#[test]
fn signatures_hold_by_their_own_key_alone() {
    let files = Files::new();
    let jwt = files.key([SECRET, b"\n"].concat()).expect("a secret");
    let good = token(&json!({"alg": "HS256", "typ": "JWT"}), EXP, hs256(SECRET));
    let ann = jwt.vouch(&good, NOW).expect("holds");
    assert_eq!((ann.account.as_str(), &*ann.actor.name), ("acme", "Ann"));
    assert_eq!(jwt.vouch(&good, UnixMillis(EXP * 1000)), None, "it has expired");
    let other = token(&json!({"alg": "HS256"}), EXP, hs256(b"another secret of thirty-two bytes"));
    assert_eq!(jwt.vouch(&other, NOW), None);
    for at in [0, good.len() / 2, good.len() - 2] {
        let mut broken = good.clone().into_bytes();
        broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(jwt.vouch(std::str::from_utf8(&broken).expect("text"), NOW), None, "{at}");
    }
    let crit = json!({"alg": "HS256", "crit": ["exp"]});
    assert_eq!(jwt.vouch(&token(&crit, EXP, hs256(SECRET)), NOW), None);
    for odd in ["", ".", "..", "a.b.c", &format!("{good}."), &format!("{good}{}", "A".repeat(9000))] {
        assert_eq!(jwt.vouch(odd, NOW), None, "{odd}");
    }
}

#[test]
fn nothing_is_signed_by_nobody_or_by_a_public_key() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let pem = pair.public_key_pem();
    let jwt = Files::new().key(&pem).expect("a public key");
    for alg in ["none", "None", "NONE", "HS256", "HS512", "RS256", "ES256", ""] {
        let header = json!({ "alg": alg });
        for forged in [
            token(&header, EXP, |_| Vec::new()),
            token(&header, EXP, hs256(pem.as_bytes())),
            token(&header, EXP, hs256(pem.trim().as_bytes())),
            token(&header, EXP, hs256(pair.der_bytes())),
        ] {
            assert_eq!(jwt.vouch(&forged, NOW), None, "{alg}");
        }
    }
}

#[test]
fn public_keys_of_each_kind() {
    let ed = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let signer = signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(ed.serialized_der()).expect("a key");
    let by_ed = token(&json!({"alg": "EdDSA"}), EXP, |message| signer.sign(message).as_ref().to_vec());
    assert!(Files::new().key(ed.public_key_pem()).expect("a key").vouch(&by_ed, NOW).is_some());

    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let (random, how) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
    let signer = signature::EcdsaKeyPair::from_pkcs8(how, ec.serialized_der(), &random).expect("a key");
    let sign = |message: &[u8]| signer.sign(&random, message).expect("signs").as_ref().to_vec();
    let by_ec = token(&json!({"alg": "ES256", "kid": "ec-1"}), EXP, sign);
    let of_ec = Files::new().key(ec.public_key_pem()).expect("a key");
    assert!(of_ec.vouch(&by_ec, NOW).is_some());
    assert_eq!(of_ec.vouch(&by_ed, NOW), None);

    // A set: the one of its name and kind. Encryption keys and unknown kinds are passed over.
    let point = ec.der_bytes();
    let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
    let jwk =
        |id: &str| json!({"kty": "EC", "crv": "P-256", "kid": id, "x": coordinate(1), "y": coordinate(33)});
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
        "x": URL_SAFE_NO_PAD.encode(ed.der_bytes())});
    let mut secret = jwk("enc");
    secret["use"] = json!("enc");
    let set = Files::new().set(&json!({"keys": [secret, jwk("ec-1"), okp]})).expect("a set");
    assert!(set.vouch(&by_ec, NOW).is_some() && set.vouch(&by_ed, NOW).is_some());
    let renamed = Files::new().set(&json!({"keys": [jwk("ec-2")]})).expect("a set");
    assert_eq!(renamed.vouch(&by_ec, NOW), None);
}

/// Made by another implementation: `openssl dgst -sha256 -sign`, and with PSS.
#[test]
fn rsa() {
    let jwt = Files::new().key(RSA_PUBLIC).expect("a public key");
    assert!(jwt.vouch(RS256, NOW).is_some());
    assert!(jwt.vouch(PS256, NOW).is_some());
    assert_eq!(jwt.vouch(&RS256[..RS256.len() - 4], NOW), None);
}

#[test]
fn what_is_no_key_is_refused_at_the_start() {
    let files = Files::new();
    let private = KeyPair::generate_for(&PKCS_ED25519).expect("a key").serialize_pem();
    for wrong in ["", "short", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", &private] {
        assert!(matches!(files.key(wrong), Err(JwtError::Key { .. })), "{wrong}");
    }
    // Public keys in another dress are no secrets.
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let pem = pair.public_key_pem();
    let bare = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let set = json!({"keys": [{"kty": "EC", "x": "x".repeat(40)}]}).to_string();
    for public in [format!("# the platform\n{pem}"), bare(&pem), bare(RSA_PUBLIC), set] {
        assert!(matches!(files.key(&public), Err(JwtError::Key { .. })), "{public}");
    }
    files.key(STANDARD.encode(SECRET)).expect("a secret in base64");
    let short = json!({"keys": [{"kty": "oct", "k": "c2hvcnQ"}]});
    for wrong in [json!({}), json!({"keys": []}), json!([]), short] {
        assert!(matches!(files.set(&wrong), Err(JwtError::Set { .. })), "{wrong}");
    }
    let nowhere = JwtFiles { key: Some(files.0.path().join("nothing")), set: None };
    assert!(matches!(Jwt::open(nowhere, claims(), NOW), Err(JwtError::File { .. })));
}

#[test]
fn keys_that_change_are_read_again() {
    let files = Files::new();
    let jwt = files.key(SECRET).expect("a secret");
    let next = b"another-secret-of-more-than-thirty-two-bytes";
    let by = |secret: &[u8]| token(&json!({"alg": "HS256"}), EXP, hs256(secret));
    let path = files.0.path().join("key");
    fs::write(&path, next).expect("is written");
    let at = |secs: u64| UnixMillis(NOW.0 + secs * 1000);
    assert!(jwt.vouch(&by(SECRET), at(4)).is_some(), "not looked at yet");
    assert_eq!(jwt.vouch(&by(SECRET), at(5)), None);
    assert!(jwt.vouch(&by(next), at(5)).is_some());
    fs::write(&path, "broken").expect("is written");
    assert!(jwt.vouch(&by(next), at(10)).is_some(), "the old ones go on");
    fs::remove_file(&path).expect("is there");
    assert!(jwt.vouch(&by(next), at(15)).is_some());
    fs::write(&path, SECRET).expect("is written");
    assert!(jwt.vouch(&by(SECRET), at(20)).is_some());
}

const RSA_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArkYJWsc1OxyOQwTfBCxX\n\
uWKGu5n1L0icj6P6/GuNZ8/S7XXY6xnQUZWyWjACiQCsK/2R0RVd5JgzbJHwARUk\n\
mUSDGbEHTz0ArV8g1OtJ8hBSKvZH+8Z1fZbSO05LIWfh2aM/bn/fuNY0fS9ACSMO\n\
N0w+MKtA7FbcjtxcuK4kE6c16VDEdZGX5zcttgUp4CkzER7O/tStCGD3cpjY7Iut\n\
2Y+Yx7p2b67k6EOjhA8njPxMuXdWWpW/O78Y0Z4FFSU+cZA+s5Pdvq/+Nd31qEVa\n\
m2oNHjORS27jrNpdfbT5tezNtDaGXuQN0TniVzv1H391V17Ey6qjPZlpE9Xraz41\n\
vwIDAQAB\n\
-----END PUBLIC KEY-----\n\
";
const RS256: &str = "\
eyJhbGciOiAiUlMyNTYifQ.eyJpc3MiOiAiaXNzIiwgImF1ZCI6ICJhdWQiLCAic3ViIjogImFubiIsICJhY2NvdW50IjogImFjb\
WUiLCAicm9sZSI6ICJ2aWV3ZXIiLCAiZXhwIjogMTgwMDAwMDYwMH0.ltslt7HURyXAt6l_GJKpudXRd0D4etYttxJPKG7T5rFW2\
J31K3vE_vgLBSmx8JS3EE_IJ1jlbKUS54j_Ae8Ade0jgpDOLcStI1IrjE7OOnofgEDvtghmL7XRUdm4YKb8ndNsjfFRvmQHSRxdn\
hC9P4wFENLZcNr6k-MOVAcZw1glNo4ifHlLfSDKFywLBFVIBeVl6F8qu-Yl6xksAFUWNnSrcqmmZw_z4TzZeZ2yYJO2kSiZAkFLV\
qY2_RWEakOOuemcfuks6lfpu7RNAsWpOWgQDQ0iHJzbxYzAV60wOnzIKa-NiUx57VOy22ZtjZOLBXiClH2shEokkLCmEF5MkA";
const PS256: &str = "\
eyJhbGciOiAiUFMyNTYifQ.eyJpc3MiOiAiaXNzIiwgImF1ZCI6ICJhdWQiLCAic3ViIjogImFubiIsICJhY2NvdW50IjogImFjb\
WUiLCAicm9sZSI6ICJ2aWV3ZXIiLCAiZXhwIjogMTgwMDAwMDYwMH0.K4Tm_ARLjSF-jJrY1fbr-q_Yo9P4oglyJ4x-xglDvZd1n\
eLYvgEaLkVvFmZDqz4aG7Liu5zaV0McQVrTpiIbqcLTZTLwZhgzS4LX6_NTQdB--VakiDQijOlo9iKC7rFIHf3FVCwzZOHNU0pLd\
Dfc9iRr_lAuvbX5rJpoRYU0cjMzB2EeJblH8ENUxAYsCbDxfZkI2jUuA4OpKd_0s2AFiuFGE81_dhajccWA1bsppPFEqbaKyn1pT\
uJOupHDTtvWeUuqRR2yoEMe-YxbyW2S-H89D38NMYEBqXmAmhFessMFKUrcejD7xhw9wXc8u7R5i5TBAh8Dy2qBOAL9A061Mg";
