//! TLS with HTTP/2 on both sides of the figure: a receiver that answers 204, and the reference, a bare loop of
//! POSTs over hyper, rustls and monoio that stores nothing, signs nothing and decides nothing.
//!
//! The loop is made of the same libraries as the engine's sender, in the same versions, so that what is compared
//! is the engine's part. It has one connection to each host, as the engine has.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use monoio::io::IntoPollIo as _;
use monoio::{FusionDriver, RuntimeBuilder};
use monoio_compat::hyper::MonoioExecutor;
use postrider::model::CallbackUrl;
use postrider::route::Placement;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::bare::{Posted, SIGNATURE};
use crate::load::{BODY_LEN, data};
use crate::proc::thread_cpu;

/// Requests under way on the one connection to a host.
const STREAMS: usize = 64;

/// The authority and what it has signed, for one run.
pub struct Certificates {
    pub ca_pem: String,
    ca: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

impl Certificates {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("signed");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &issuer).expect("signed");
        let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("a certificate");
        server.alpn_protocols = vec![b"h2".to_vec()];
        Self { ca_pem: ca.pem(), ca: ca.der().clone(), server: Arc::new(server) }
    }

    fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).expect("a root");
        let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        client
    }
}

/// One thread that answers 204 to whatever comes.
pub struct Receiver {
    /// One for each worker of the engine.
    pub urls: Vec<String>,
    count: Arc<AtomicU64>,
}

impl Receiver {
    pub fn start(workers: usize, certificates: &Certificates) -> Self {
        let mut listeners: Vec<Option<std::net::TcpListener>> = (0..workers).map(|_| None).collect();
        let mut urls = vec![String::new(); workers];
        while listeners.iter().any(Option::is_none) {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let url = format!("https://{}/hook", listener.local_addr().expect("an address"));
            let worker =
                Placement::from(workers).owner_of_host(CallbackUrl::parse(&url).expect("a URL").authority());
            if listeners[worker].is_none() {
                (listeners[worker], urls[worker]) = (Some(listener), url);
            }
        }
        let count = Arc::new(AtomicU64::new(0));
        let (seen, acceptor) = (Arc::clone(&count), TlsAcceptor::from(Arc::clone(&certificates.server)));
        // It lives as long as the process: what it costs when nothing comes is nothing.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async move {
                let accepting: Vec<_> = listeners
                    .into_iter()
                    .flatten()
                    .map(|listener| {
                        tokio::task::spawn_local(accept(listener, acceptor.clone(), Arc::clone(&seen)))
                    })
                    .collect();
                for task in accepting {
                    task.await.expect("it accepts");
                }
            });
        });
        Self { urls, count }
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, seen: Arc<AtomicU64>) {
    listener.set_nonblocking(true).expect("non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::task::spawn_local(async move {
            stream.set_nodelay(true).expect("no delay");
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let _ = request.into_body().collect().await;
                    seen.fetch_add(1, Ordering::Relaxed);
                    let mut answer = Response::new(Empty::<Bytes>::new());
                    *answer.status_mut() = hyper::StatusCode::NO_CONTENT;
                    Ok::<_, Infallible>(answer)
                }
            });
            // How a connection ends is not of interest.
            let _ = hyper::server::conn::http2::Builder::new(Local)
                .max_concurrent_streams(256)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Tasks of one thread, on tokio.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        drop(tokio::task::spawn_local(async move {
            task.await;
        }));
    }
}

/// Posts for about `time`, by a thread for each host, as the engine does.
pub fn run(urls: &[String], certificates: &Certificates, time: Duration) -> Posted {
    let threads: Vec<_> = urls
        .iter()
        .map(|url| {
            let host = url.trim_start_matches("https://").trim_end_matches("/hook");
            let address: SocketAddr = host.parse().expect("an address");
            let client = certificates.client();
            std::thread::spawn(move || {
                let mut runtime = RuntimeBuilder::<FusionDriver>::new()
                    .enable_timer()
                    .with_entries(4096)
                    .build()
                    .expect("a runtime");
                runtime.block_on(posts(address, client, time))
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

fn request(address: SocketAddr, body: &Bytes) -> Request<Full<Bytes>> {
    Request::post(format!("https://{address}/hook"))
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

async fn posts(address: SocketAddr, client: ClientConfig, time: Duration) -> Posted {
    let body = Bytes::from(data(0, BODY_LEN));
    let stream = monoio::net::TcpStream::connect_addr(address).await.expect("connects");
    stream.set_nodelay(true).expect("no delay");
    let stream = stream.into_poll_io().expect("poll io");
    let name = ServerName::from(address.ip());
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.expect("shakes hands");
    let (send, connection) = hyper::client::conn::http2::Builder::new(MonoioExecutor)
        .handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    monoio::spawn(connection);
    // The handshake is not counted, as the engine's is not.
    let count = Rc::new(Cell::new(0));
    let (start, before) = (Instant::now(), thread_cpu());
    let tasks: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (body, count, mut send) = (body.clone(), Rc::clone(&count), send.clone());
            monoio::spawn(async move {
                while start.elapsed() < time {
                    send.ready().await.expect("ready");
                    let response = send.send_request(request(address, &body)).await.expect("an answer");
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
