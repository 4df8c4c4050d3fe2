//! What an attempt costs, beside the same requests sent by a bare loop over hyper on monoio.
//!
//! Ignored because it measures: `cargo test --release sending_costs -- --ignored --nocapture`.

use super::*;
use std::convert::Infallible;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use monoio::io::IntoPollIo as _;
use monoio_compat::hyper::MonoioIo;

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 100_000;
const BODY_LEN: usize = 1024;

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

fn body() -> &'static str {
    let body = format!("{{\"id\":\"evt-1\",\"data\":\"{}\"}}", "x".repeat(BODY_LEN - 24));
    assert_eq!(body.len(), BODY_LEN);
    Box::leak(body.into_boxed_str())
}

/// A receiver on a thread of its own that answers 204.
fn serve() -> SocketAddr {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        on_long_runtime(async move {
            let listener = monoio::net::TcpListener::bind("127.0.0.1:0").expect("bind");
            tell.send(listener.local_addr().expect("address")).expect("told");
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                stream.set_nodelay(true).expect("nodelay");
                let io = MonoioIo::new(stream.into_poll_io().expect("poll io"));
                let service = service_fn(|request: Request<Incoming>| async move {
                    let _ = request.into_body().collect().await;
                    let mut response = Response::new(Full::<Bytes>::default());
                    *response.status_mut() = hyper::StatusCode::NO_CONTENT;
                    Ok::<_, Infallible>(response)
                });
                monoio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
    });
    told.recv().expect("an address")
}

fn on_long_runtime<T>(test: impl Future<Output = T>) -> T {
    let mut runtime =
        monoio::RuntimeBuilder::<monoio::FusionDriver>::new().enable_timer().build().expect("runtime");
    runtime.block_on(test)
}

/// CPU nanoseconds per request of the bare loop.
async fn bare(address: SocketAddr, body: &'static str) -> u64 {
    let before = cpu();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            monoio::spawn(async move {
                let stream = monoio::net::TcpStream::connect_addr(address).await.expect("connect");
                stream.set_nodelay(true).expect("nodelay");
                let io = MonoioIo::new(stream.into_poll_io().expect("poll io"));
                let (mut send, connection) =
                    hyper::client::conn::http1::handshake(io).await.expect("handshake");
                monoio::spawn(connection);
                for _ in 0..REQUESTS / CONNECTIONS {
                    let request = Request::post("/hook")
                        .header("host", "127.0.0.1")
                        .header("content-type", "application/json")
                        .body(Full::new(Bytes::from_static(body.as_bytes())))
                        .expect("a request");
                    send.ready().await.expect("ready");
                    let response = send.send_request(request).await.expect("an answer");
                    response.into_body().collect().await.expect("a body");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    (cpu() - before) / (REQUESTS / CONNECTIONS * CONNECTIONS) as u64
}

/// CPU nanoseconds per attempt of the sender, driven as a worker's loop drives it.
async fn ours(address: SocketAddr, body: &'static str) -> u64 {
    let before = cpu();
    let sender = sender(SendOptions { max_connections_per_host: CONNECTIONS, ..options() });
    let subscription = to(address);
    let event = event(body);
    let (mut started, mut done) = (0, 0);
    let mut completed = Vec::new();
    std::future::poll_fn(|cx| {
        sender.set_waker(cx.waker());
        sender.drain_completions(&mut completed);
        for (_, outcome) in completed.drain(..) {
            assert_eq!(outcome.error, None);
            done += 1;
        }
        while started < REQUESTS && started - done < CONNECTIONS {
            let job = job(started as u64, &subscription);
            sender.start(Job { event: event.clone(), ..job });
            started += 1;
        }
        sender.tick(clock());
        if done == REQUESTS { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!(sender.connections().opened(), CONNECTIONS as u64);
    (cpu() - before) / REQUESTS as u64
}

#[test]
#[ignore = "measures"]
fn sending_costs() {
    let (address, body) = (serve(), body());
    for _ in 0..3 {
        let bare = on_long_runtime(bare(address, body));
        let ours = on_long_runtime(ours(address, body));
        println!(
            "CPU per POST of {BODY_LEN} bytes on {CONNECTIONS} connections: bare {bare} ns, signed and pooled {ours} ns"
        );
    }
}
