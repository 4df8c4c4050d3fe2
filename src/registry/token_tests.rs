//! Tokens in the registry: planned, installed, loaded.

use super::*;

#[test]
fn tokens_are_found_by_digest_and_die_with_their_account() {
    let mut bench = Bench::new();
    let make = |bench: &mut Bench, account: &str, byte: u8| {
        let value = json!({"name": "t", "kind": "user", "role": "account_owner", "platformUser": true});
        let draft = TokenDraft::parse(&value, UnixMillis(0)).expect("valid");
        let digest = TokenDigest([byte; 32]);
        let changed = bench.change(Change::CreateToken { account: name(account), draft, digest })?;
        Ok::<_, ChangeError>(changed.tokens[0].after.clone().expect("made"))
    };
    let first = make(&mut bench, "acme", 1).expect("made");
    let second = make(&mut bench, "acme", 2).expect("made");
    let other = make(&mut bench, "other", 3).expect("made");
    assert_eq!(bench.registry.account_key(&name("acme")), Some(first.account), "made with its first token");
    assert!(first.id < second.id && first.id.starts_with("tok_"));
    assert_eq!(bench.registry.token(&TokenDigest([2; 32])), Some(&second));
    assert_eq!(bench.registry.token(&TokenDigest([9; 32])), None);

    let used = Change::TokenUsed { digest: second.digest, at: UnixMillis(5000) };
    bench.change(used.clone()).expect("noted");
    assert!(bench.change(used).expect("noted before").tokens.is_empty());
    let (loaded, again) = bench.reload(true);
    assert!(again.is_empty());
    assert_eq!(loaded.tokens_of(first.account), bench.registry.tokens_of(first.account));
    assert_eq!(loaded.token(&second.digest).and_then(|token| token.last_used_at), Some(UnixMillis(5000)));

    let delete = |account: &str, id: &str| Change::DeleteToken { account: name(account), id: id.into() };
    assert_eq!(bench.change(delete("acme", &other.id)), Err(ChangeError::NotFound), "another account's");
    bench.change(delete("acme", &first.id)).expect("deleted");
    assert_eq!(bench.registry.token(&first.digest), None);
    bench.change(Change::DeleteAccount { account: name("acme") }).expect("deleted");
    assert_eq!(bench.registry.token(&second.digest), None);
    let (loaded, _) = bench.reload(true);
    assert_eq!(loaded.token(&second.digest), None);
    assert_eq!(loaded.token(&other.digest), Some(&other));

    for n in 0..TOKENS_PER_ACCOUNT_MAX - 1 {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        digest[8] = 1;
        let draft = TokenDraft { ..draft_of(&other) };
        let change = Change::CreateToken { account: name("other"), draft, digest: TokenDigest(digest) };
        bench.change(change).expect("room");
    }
    let full = Err(ChangeError::TooManyTokens { max: TOKENS_PER_ACCOUNT_MAX });
    assert_eq!(make(&mut bench, "other", 4), full);
}

fn draft_of(token: &Token) -> TokenDraft {
    TokenDraft {
        name: token.name.clone(),
        kind: token.kind,
        role: token.role,
        platform_user: token.platform_user,
        events_write: token.events_write,
        expires_at: token.expires_at,
    }
}
