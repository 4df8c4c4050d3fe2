//! A receiver that speaks TLS, HTTP/1.1 and HTTP/2 as real servers do: rustls and hyper on tokio, on a
//! thread of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::pki::Pair;

/// What the server does; the default speaks plain HTTP/1.1.
#[derive(Clone, Default)]
pub(super) struct Setup {
    pub(super) certificate: Option<Pair>,
    /// Offered protocols, the server's favourite first.
    pub(super) alpn: Vec<&'static str>,
    /// What each connection but the first is offered, where that is something else.
    pub(super) alpn_later: Option<Vec<&'static str>>,
    /// PEM of whom clients' certificates must be signed by; asked for if it is there.
    pub(super) clients: Option<String>,
    /// Without TLS: HTTP/2 by prior knowledge.
    pub(super) h2c: bool,
    pub(super) max_streams: Option<u32>,
    /// Requests wait until [`Server::release`].
    pub(super) held: bool,
    pub(super) body: &'static str,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: AtomicUsize,
    pub(super) resumed: AtomicUsize,
    /// Connections whose client has said that it ends them.
    pub(super) goodbyes: AtomicUsize,
    pub(super) over_h1: AtomicUsize,
    pub(super) over_h2: AtomicUsize,
    now: AtomicUsize,
    /// Requests that were there at the same time at most.
    pub(super) at_once: AtomicUsize,
    /// The heads of the requests, and their bodies.
    pub(super) requests: Mutex<Vec<(hyper::http::request::Parts, Bytes)>>,
    released: AtomicBool,
    release: Notify,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
}

impl Seen {
    pub(super) fn count(of: &AtomicUsize) -> usize {
        of.load(Ordering::SeqCst)
    }
}

impl Server {
    pub(super) fn start(setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Seen::default());
        let noting = seen.clone();
        thread::spawn(move || {
            runtime.block_on(async move {
                let first = setup.certificate.as_ref().map(|pair| acceptor(pair, &setup));
                let other = setup.alpn_later.clone().map(|alpn| Setup { alpn, ..setup.clone() });
                let later = other.and_then(|other| Some(acceptor(other.certificate.as_ref()?, &other)));
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).expect("nodelay");
                    let (seen, setup) = (noting.clone(), setup.clone());
                    let is_first = seen.connections.fetch_add(1, Ordering::SeqCst) == 0;
                    let tls = later.clone().filter(|_| !is_first).or_else(|| first.clone());
                    tokio::spawn(async move {
                        let Some(tls) = tls else {
                            return serve(stream, setup.h2c, &setup, &seen).await;
                        };
                        let Ok(stream) = tls.accept(stream).await else { return };
                        let session = stream.get_ref().1;
                        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
                            seen.resumed.fetch_add(1, Ordering::SeqCst);
                        }
                        let h2 = session.alpn_protocol() == Some(b"h2");
                        serve(stream, h2, &setup, &seen).await;
                    });
                }
            });
        });
        Self { address, seen }
    }

    /// Answers all that is held, and does not hold any more.
    pub(super) fn release(&self) {
        self.seen.released.store(true, Ordering::SeqCst);
        self.seen.release.notify_waiters();
    }

    /// How many requests are held.
    pub(super) fn now(&self) -> usize {
        Seen::count(&self.seen.now)
    }
}

pub(super) fn acceptor(pair: &Pair, setup: &Setup) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match &setup.clients {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let mut config = builder.with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = setup.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config).into()
}

async fn serve<S>(stream: S, h2: bool, setup: &Setup, seen: &Arc<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (held, body) = (setup.held, setup.body);
    let noting = seen.clone();
    let service = service_fn(move |request| answer(request, noting.clone(), held, body));
    let ended = if h2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(setup.max_streams);
        builder.serve_connection(TokioIo::new(stream), service).await
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        builder.serve_connection(TokioIo::new(stream), service).await
    };
    seen.goodbyes.fetch_add(usize::from(ended.is_ok()), Ordering::SeqCst);
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
    held: bool,
    body: &'static str,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let by_version = if request.version() == Version::HTTP_2 { &seen.over_h2 } else { &seen.over_h1 };
    by_version.fetch_add(1, Ordering::SeqCst);
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.at_once.fetch_max(now, Ordering::SeqCst);
    let (head, content) = request.into_parts();
    if let Ok(content) = content.collect().await {
        seen.requests.lock().expect("no panic").push((head, content.to_bytes()));
    }
    let release = seen.release.notified();
    if held && !seen.released.load(Ordering::SeqCst) {
        release.await;
    }
    seen.now.fetch_sub(1, Ordering::SeqCst);
    Ok(Response::new(Full::new(Bytes::from_static(body.as_bytes()))))
}
