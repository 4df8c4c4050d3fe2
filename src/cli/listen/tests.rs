//! The receiver over a real connection.

use std::io::{Read, Write};

use super::*;

fn exchange(receiver: Receiver, request: &str) -> (String, u64) {
    let receiver = Arc::new(receiver);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = request.to_owned();
    let answer = runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        tokio::select! {
            () = accept(listener, &receiver) => panic!("accepts for ever"),
            answer = client => answer.unwrap(),
        }
    });
    (answer, receiver.received.load(Ordering::Relaxed))
}

fn receiver(status: StatusCode) -> Receiver {
    Receiver { key: None, status, delay: Duration::ZERO, received: AtomicU64::new(0) }
}

#[test]
fn answers_as_told() {
    let check = |method: &str, status: StatusCode, want: &str, count: u64| {
        let request =
            format!("{method} /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
        let (answer, received) = exchange(receiver(status), &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {want} ")), "{answer}");
        assert_eq!(received, count);
    };
    check("POST", StatusCode::NO_CONTENT, "204", 1);
    check("POST", StatusCode::SERVICE_UNAVAILABLE, "503", 1);
    check("GET", StatusCode::NO_CONTENT, "405", 0);
}

#[test]
fn signatures() {
    let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let checked = Receiver { key: Some(key), ..receiver(StatusCode::OK) };
    let body = b"{\"test\": 2432232314}";
    let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let headers = |signature: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
        headers.insert("webhook-timestamp", "1614265330".parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    };
    assert_eq!(checked.check(&headers(right), body), Signature::Stale, "a replay from 2021");
    assert_eq!(checked.check(&headers("v1,AAAA"), body), Signature::Wrong);
    assert_eq!(checked.check(&HeaderMap::new(), body), Signature::Missing);
    assert_eq!(receiver(StatusCode::OK).check(&headers(right), body), Signature::NotChecked);
}
