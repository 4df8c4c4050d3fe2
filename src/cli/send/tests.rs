//! The client against a real socket whose other end answers as the contract says.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

use super::*;

type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// Answers each request with the next of `answers` (status, `Retry-After`, body; the last one again and
/// again) and remembers what came.
async fn engine(listener: UnixListener, answers: Vec<(u16, &'static str)>, seen: Requests) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (seen, answers) = (Arc::clone(&seen), answers.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let (seen, answers) = (Arc::clone(&seen), answers.clone());
            async move {
                let kind = request.headers()["content-type"].to_str().unwrap().to_owned();
                assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/events"));
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let index = {
                    let mut seen = seen.lock().unwrap();
                    seen.push((kind, String::from_utf8(body.to_vec()).unwrap()));
                    seen.len() - 1
                };
                let (status, body) = answers[index.min(answers.len() - 1)];
                let response = Response::builder().status(status).header("retry-after", "0");
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
            }
        });
        let serve = hyper::server::conn::http1::Builder::new();
        tokio::spawn(serve.serve_connection(TokioIo::new(stream), answer));
    }
}

fn with_engine<T>(
    answers: &[(u16, &'static str)],
    test: impl AsyncFnOnce(Client) -> T,
) -> (T, Vec<(String, String)>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ingest.sock");
    let seen = Requests::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(async {
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(engine(listener, answers.to_vec(), Arc::clone(&seen)));
        test(Client::new(&path)).await
    });
    let seen = seen.lock().unwrap().clone();
    (done, seen)
}

const OK: (u16, &str) =
    (202, r#"{"accepted":1,"duplicates":0,"rejected":0,"results":[{"id":"a","status":"accepted"}]}"#);
const BUSY: (u16, &str) = (503, r#"{"title":"busy"}"#);

fn one_event() -> SendArgs {
    SendArgs {
        socket: PathBuf::new(),
        account: Some("acme".into()),
        event_type: Some("user.created".into()),
        data: Some(r#"{"b": 1.50,  "a":2}"#.into()),
        id: None,
        timestamp: None,
        file: None,
    }
}

#[test]
fn one_event_is_sent_as_it_was_written() {
    let (tally, seen) =
        with_engine(&[OK], async |mut client| send_one(&mut client, &one_event()).await.unwrap());
    assert_eq!(tally.text(), "accepted 1, duplicate 0, rejected 0");
    let body = r#"{"accountId":"acme","type":"user.created","data":{"b": 1.50,  "a":2}}"#;
    assert_eq!(seen, [("application/json".to_owned(), body.to_owned())]);
}

#[test]
fn a_busy_engine_is_asked_again() {
    let (tally, seen) =
        with_engine(&[BUSY, BUSY, OK], async |mut client| send_one(&mut client, &one_event()).await.unwrap());
    assert_eq!((tally.accepted, seen.len()), (1, 3));
    let (result, seen) =
        with_engine(&[BUSY], async |mut client| send_one(&mut client, &one_event()).await.map(|_| ()));
    assert!(result.unwrap_err().lines[0].contains("the engine is busy"));
    assert_eq!(seen.len(), 20);
}

#[test]
fn a_file_goes_in_batches_and_errors_name_their_line() {
    let first = (
        202,
        r#"{"accepted":1,"duplicates":1,"rejected":1,"results":[{"status":"accepted"},
            {"status":"rejected","error":{"code":"unknown_type","message":"no such type","field":"type"}},
            {"status":"duplicate"}]}"#,
    );
    let second = (422, r#"{"accepted":0,"duplicates":0,"rejected":1}"#);
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = format!("{{\"n\":1}}\n\n{{\"n\":2}}\n{}", "{\"n\":3}\n".repeat(499));
    std::fs::write(file.path(), lines).unwrap();
    let (tally, seen) =
        with_engine(&[first, second], async |mut client| send_file(&mut client, file.path()).await.unwrap());
    assert_eq!(tally.text(), "accepted 1, duplicate 1, rejected 2");
    assert_eq!(tally.errors, ["line 3: type: no such type (unknown_type)"]);
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].0.as_str(), seen[0].1.lines().count()), ("application/x-ndjson", 500));
    assert_eq!(seen[1].1, "{\"n\":3}\n");
}

#[test]
fn refusals_are_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{}\n{}\n").unwrap();
    let answer = (413, r#"{"title":"Too large","detail":"at most 1 MiB"}"#);
    let (result, _) =
        with_engine(&[answer], async |mut client| send_file(&mut client, file.path()).await.map(|_| ()));
    let text = result.unwrap_err().to_string();
    assert_eq!(
        text,
        "refused with 413 Payload Too Large: at most 1 MiB, on the way were lines 1 to 2; \
         before that accepted 0, duplicate 0, rejected 0"
    );
}

#[test]
fn nobody_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = Client::new(Path::new("/nonexistent/ingest.sock"));
    let failure = runtime.block_on(send_one(&mut client, &one_event())).unwrap_err();
    assert!(
        failure.lines[0].starts_with("postrider: cannot connect to /nonexistent/ingest.sock"),
        "{failure:?}"
    );
    let mut bad = one_event();
    bad.data = Some("[]".into());
    let failure = runtime.block_on(send_one(&mut client, &bad)).unwrap_err();
    assert!(failure.lines[0].starts_with("postrider: --data must be a JSON object"), "{failure:?}");
}
