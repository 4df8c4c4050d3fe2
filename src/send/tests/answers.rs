//! What an answer, or the lack of one, becomes.

use super::*;
use crate::model::CustomHeader;
use crate::send::sign::Signer;

#[test]
fn the_request_is_exactly_this() {
    let (address, notes) = answering(NO_CONTENT);
    let mut subscription = sample(7, &format!("http://{address}/hook/a%20b?x=1&y=%2F"));
    subscription.headers = vec![CustomHeader { name: "x-api-key".to_owned(), value: "s3cret ü".to_owned() }];
    subscription.secrets.current.secret = (0..24).collect();
    on_runtime(async {
        let sender = sender(options());
        let mut second = job(2, &Arc::new(subscription.clone()));
        second.attempt = 12;
        second.started_at = UnixMillis(STARTED_AT.0 + 999);
        for job in [job(1, &Arc::new(subscription.clone())), second] {
            sender.start(job);
            assert_eq!(completions(&sender, 1).await[0].1.status, Some(204));
        }
    });
    let key: Vec<u8> = (0..24).collect();
    let mut signature = String::new();
    Signer::from_key(&key).sign_into("evt-1", "1795445340", BODY.as_bytes(), &mut signature);
    let version = env!("CARGO_PKG_VERSION");
    let len = BODY.len();
    for attempt in [1, 12] {
        let want = format!(
            "POST /hook/a%20b?x=1&y=%2F HTTP/1.1\r\n\
             host: {address}\r\n\
             content-type: application/json\r\n\
             user-agent: Postrider/{version}\r\n\
             webhook-id: evt-1\r\n\
             webhook-timestamp: 1795445340\r\n\
             webhook-signature: {signature}\r\n\
             postrider-subscription: sub_7\r\n\
             postrider-attempt: {attempt}\r\n\
             x-api-key: s3cret ü\r\n\
             content-length: {len}\r\n\
             \r\n\
             {BODY}"
        );
        let got = notes.iter().find(|note| note.starts_with("POST")).expect("a request");
        assert_eq!(got, want);
    }
}

/// Answers one request with `answer`, then closes.
fn once(answer: impl Into<Vec<u8>>) -> Outcome {
    let answer = answer.into();
    let (address, _notes) = receiver(move |mut peer| {
        if peer.request().is_some() {
            peer.answer(&answer);
        }
    });
    on_runtime(async { deliver(&sender(options()), &to(address)).await })
}

#[test]
fn answers_that_deliver() {
    let check = |answer: &str, status: u16, body: &str, truncated: bool| {
        let outcome = once(answer);
        assert_eq!(outcome.error, None, "{answer}");
        assert_eq!(outcome.status, Some(status), "{answer}");
        let response = outcome.response.expect("kept");
        assert_eq!((String::from_utf8_lossy(&response.body).as_ref(), response.truncated), (body, truncated));
    };
    check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", false);
    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok", false);
    check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", false);
    check("HTTP/1.1 200\r\nconnection: close\r\n\r\nuntil the end", 200, "until the end", false);
    check("HTTP/1.0 202 Accepted\r\n\r\nold", 202, "old", false);
    check("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", 204, "", false);
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 C\r\ncontent-length: 0\r\n\r\n",
        201,
        "",
        false,
    );
    // Broken bodies change nothing but the excerpt.
    check("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", 200, "short", true);
    check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 200, "", true);
}

#[test]
fn answers_that_fail() {
    let check = |answer: &str, status: Option<u16>, kind: ErrorKind, words: &str| {
        let outcome = once(answer);
        assert_eq!(outcome.status, status, "{answer}");
        expect_error(&outcome, kind, words);
    };
    let status = |line: &str| format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n");
    check(&status("500 Oops"), Some(500), ErrorKind::Status, "answered 500");
    check(&status("404 None"), Some(404), ErrorKind::Status, "answered 404");
    check(&status("410 Gone"), Some(410), ErrorKind::Gone, "410");
    check(
        "HTTP/1.1 302 F\r\nlocation: http://127.0.0.1:1/\r\n\r\n",
        Some(302),
        ErrorKind::Status,
        "redirects",
    );
    check("HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Some(101), ErrorKind::Status, "101");
    check("SSH-2.0-OpenSSH_9.2\r\n", None, ErrorKind::Protocol, "not valid HTTP");
    check("\u{16}\u{3}\u{1}\0\u{2}", None, ErrorKind::Protocol, "not valid HTTP");
    check("HTTP/2.0 200 OK\r\n\r\n", None, ErrorKind::Protocol, "not valid HTTP");
    check("HTTP/1.1 2000 OK\r\n\r\n", None, ErrorKind::Protocol, "not valid HTTP");
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        None,
        ErrorKind::Protocol,
        "not valid",
    );
    check("HTTP/1.1 200 OK\r\nbad header\r\n\r\n", None, ErrorKind::Protocol, "not valid HTTP");
    check("", None, ErrorKind::Reset, "closed the connection");
    check("HTTP/1.1 200 OK\r\nx-half: ", None, ErrorKind::Reset, "closed the connection");
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(h1::HEAD_LEN_MAX));
    check(&long, None, ErrorKind::Protocol, "longer than");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(h1::HEAD_LINES_MAX + 1));
    check(&many, None, ErrorKind::Protocol, "longer than");
}

#[test]
fn floods_end() {
    let endless = |head: &'static str, more: &'static str| {
        let (address, notes) = receiver(move |mut peer| {
            peer.request();
            peer.answer(head);
            while peer.answer(more.repeat(100)) {}
            let _ = peer.note.send("stopped".to_owned());
        });
        let outcome = on_runtime(async { deliver(&sender(options()), &to(address)).await });
        assert_eq!(notes.recv().as_deref(), Ok("stopped"), "the connection is closed");
        outcome
    };
    let outcome = endless("", "HTTP/1.1 100 Continue\r\n\r\n");
    expect_error(&outcome, ErrorKind::Protocol, "more before and around");
    let outcome = endless("HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    assert_eq!(outcome.error, None);
    let response = outcome.response.expect("kept");
    assert_eq!((response.body.len(), response.truncated), (4096, true));
    let outcome = endless("HTTP/1.1 500 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n");
    expect_error(&outcome, ErrorKind::Status, "500");
    assert!(outcome.response.expect("kept").truncated);
}

#[test]
fn retry_after_is_read() {
    let outcome = once("HTTP/1.1 429 Slow\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(outcome.retry_after, Some(Duration::from_secs(17)));
    expect_error(&outcome, ErrorKind::Status, "429");
    let headers = outcome.response.expect("kept").headers;
    assert_eq!(headers, "retry-after: 17\ncontent-length: 0\n");
    let outcome =
        once("HTTP/1.1 503 S\r\nretry-after: Mon, 23 Nov 2026 15:49:00 GMT\r\ncontent-length: 0\r\n\r\n");
    let wait = outcome.retry_after.expect("a date");
    assert!(wait <= Duration::from_secs(3600) && wait > Duration::from_secs(3580), "{wait:?}");
}

#[test]
fn a_reset_is_a_reset() {
    for answer in ["", "HTTP/1.1 200 OK\r\nx-half: "] {
        let (address, _notes) = receiver(move |mut peer| {
            peer.request();
            peer.answer(answer);
            peer.reset();
        });
        let outcome = on_runtime(async { deliver(&sender(options()), &to(address)).await });
        expect_error(&outcome, ErrorKind::Reset, "connection");
    }
}

#[test]
fn a_deadline_before_the_headers_is_a_timeout() {
    let (address, notes) = receiver(|mut peer| {
        peer.request();
        peer.answer("HTTP/1.1 200 OK\r\nx-slow: ");
        let _ = peer.note.send("half".to_owned());
        peer.wait_for_end();
        let _ = peer.note.send("end".to_owned());
    });
    on_runtime(async {
        let sender = sender(options());
        sender.start(job(5, &to(address)));
        // Runs the sender until the request is out.
        monoio::time::sleep(Duration::from_millis(1)).await;
        while notes.try_recv().is_err() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        sender.cancel(5, CancelReason::Timeout);
        sender.cancel(5, CancelReason::Timeout);
        let mut done = completions(&sender, 1).await;
        assert_eq!(done.len(), 1);
        let (id, outcome) = done.remove(0);
        assert_eq!((id, outcome.status), (5, None));
        expect_error(&outcome, ErrorKind::Timeout, "waiting for the answer");
        while notes.try_recv().is_err() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(sender.connections().closed(CloseReason::Cancelled), 1);
        assert_eq!((sender.connections().open, sender.in_flight()), (0, 0));
    });
}

#[test]
fn a_deadline_after_the_headers_leaves_the_verdict() {
    for (status, error) in [(200, None), (500, Some(ErrorKind::Status)), (410, Some(ErrorKind::Gone))] {
        let (slow, notes) = receiver(move |mut peer| {
            peer.request();
            peer.answer(format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\npart"));
            let _ = peer.note.send("sent".to_owned());
            peer.wait_for_end();
        });
        let (quick, _notes) = answering(NO_CONTENT);
        on_runtime(async {
            let sender = sender(options());
            sender.start(job(1, &to(slow)));
            while notes.try_recv().is_err() {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
            // What came before this answer has been read when this answer is.
            sender.start(job(2, &to(quick)));
            assert_eq!(completions(&sender, 1).await[0].0, 2);
            sender.cancel(1, CancelReason::Timeout);
            let outcome = completions(&sender, 1).await.remove(0).1;
            assert_eq!(outcome.status, Some(status));
            assert_eq!(outcome.error.map(|error| error.kind), error);
            let response = outcome.response.expect("kept");
            assert_eq!((response.body.as_slice(), response.truncated), (&b"part"[..], true));
        });
    }
}
