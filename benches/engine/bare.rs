//! The reference of deliveries: the same POSTs to the same receiver, sent by a loop over hyper on monoio
//! that stores nothing, signs nothing and decides nothing.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use monoio::io::IntoPollIo as _;
use monoio::{FusionDriver, RuntimeBuilder};
use monoio_compat::hyper::MonoioIo;

use crate::load::{BODY_LEN, data};
use crate::proc::thread_cpu;

/// Keep-alive connections, in all. As many as the engine opens: 32 to each of two hosts.
pub const CONNECTIONS: usize = 64;
/// As long as the engine's.
pub const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

pub struct Posted {
    pub count: u64,
    pub cpu_ns: u64,
    pub time: Duration,
}

/// Posts for about `time`: as the engine does, by a thread for each host, so that the cores are as full. A
/// loop that had a core to itself would find fewer answers each time it wakes, and cost up to twice as much.
pub fn run(urls: &[String], time: Duration) -> Posted {
    let threads: Vec<_> = urls
        .iter()
        .map(|url| {
            let host = url.trim_start_matches("http://").trim_end_matches("/hook");
            let address: SocketAddr = host.parse().expect("an address");
            let connections = CONNECTIONS / urls.len();
            std::thread::spawn(move || {
                let mut runtime = RuntimeBuilder::<FusionDriver>::new()
                    .enable_timer()
                    .with_entries(4096)
                    .build()
                    .expect("a runtime");
                runtime.block_on(posts(address, connections, time))
            })
        })
        .collect();
    let mut all = Posted { count: 0, cpu_ns: 0, time };
    for thread in threads {
        let posted = thread.join().expect("the loop ends");
        all.count += posted.count;
        all.cpu_ns += posted.cpu_ns;
        all.time = all.time.max(posted.time);
    }
    all
}

fn request(host: &str, body: &Bytes) -> Request<Full<Bytes>> {
    Request::post("/hook")
        .header("host", host)
        .header("content-type", "application/json")
        .header("user-agent", "Postrider/0.1.0")
        .header("webhook-id", "evt-000000000000")
        .header("webhook-timestamp", "1795445340")
        .header("webhook-signature", SIGNATURE)
        .header("postrider-subscription", "sub_01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .header("postrider-attempt", "1")
        .body(Full::new(body.clone()))
        .expect("a request")
}

async fn posts(address: SocketAddr, connections: usize, time: Duration) -> Posted {
    let body = Bytes::from(data(0, BODY_LEN));
    let count = Rc::new(Cell::new(0));
    let (start, before) = (Instant::now(), thread_cpu());
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (body, count) = (body.clone(), Rc::clone(&count));
            monoio::spawn(async move {
                let stream = monoio::net::TcpStream::connect_addr(address).await.expect("connects");
                stream.set_nodelay(true).expect("no delay");
                let io = MonoioIo::new(stream.into_poll_io().expect("poll io"));
                let (mut send, connection) =
                    hyper::client::conn::http1::handshake(io).await.expect("a handshake");
                monoio::spawn(connection);
                let host = address.to_string();
                while start.elapsed() < time {
                    send.ready().await.expect("ready");
                    let response = send.send_request(request(&host, &body)).await.expect("an answer");
                    response.into_body().collect().await.expect("a body");
                    count.set(count.get() + 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    Posted { count: count.get(), cpu_ns: thread_cpu() - before, time: start.elapsed() }
}
