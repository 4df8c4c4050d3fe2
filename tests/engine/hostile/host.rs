//! A receiver that follows a script on each of its connections, and keeps count of them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};

use super::peer::Peer;
use crate::wait::until;

/// What is done on a connection, from its acceptance to its end.
pub type Script = Arc<dyn Fn(&mut Peer) + Send + Sync>;

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    /// Scripts that run.
    running: AtomicUsize,
    /// Connections that were still open when their script had ended and patience too.
    left_open: AtomicUsize,
    closed: AtomicBool,
}

pub struct Host {
    address: SocketAddr,
    counts: Arc<Counts>,
}

/// Bytes of a small receive buffer: a request of some kilobytes cannot be sent whole to who does not read.
const SMALL: usize = 2048;
const SEGMENT: u32 = 536;

impl Host {
    pub fn start(script: Script) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), None, script)
    }

    /// The script speaks through TLS.
    pub fn start_tls(tls: Arc<ServerConfig>, script: Script) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), Some(tls), script)
    }

    /// The same, with room for little of a request in the kernel, on both sides: the sender's is counted in
    /// segments.
    pub fn start_small(script: Script) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Before it listens, so that the window is small from the first packet on.
        socket.set_recv_buffer_size(SMALL).unwrap();
        socket.set_tcp_mss(SEGMENT).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(128).unwrap();
        Self::on(socket.into(), None, script)
    }

    fn on(listener: TcpListener, tls: Option<Arc<ServerConfig>>, script: Script) -> Self {
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
                shared.running.fetch_add(1, Ordering::SeqCst);
                let (shared, script, tls) = (Arc::clone(&shared), Arc::clone(&script), tls.clone());
                std::thread::spawn(move || {
                    shared.follow(&script, Peer::new(stream, tls, number));
                    shared.running.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, counts }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Waits until each script has ended and the engine has closed its connection.
    pub fn until_closed(&self, name: &str) {
        until(&format!("the engine to close its connection: {name}"), || {
            match self.counts.running.load(Ordering::SeqCst) {
                0 => Ok(()),
                running => Err(running),
            }
        });
        assert_eq!(self.counts.left_open.load(Ordering::SeqCst), 0, "left open: {name}");
    }
}

impl Counts {
    fn follow(&self, script: &Script, mut peer: Peer) {
        script(&mut peer);
        if !peer.ended && !peer.until_closed() {
            self.left_open.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.counts.closed.store(true, Ordering::SeqCst);
        // The listener looks up.
        let _ = TcpStream::connect(self.address);
    }
}

/// A listener whose queue is full and that accepts nobody: further connections are not even refused.
pub struct Deaf {
    _listener: Socket,
    _queued: Vec<Socket>,
    address: SocketAddr,
}

impl Deaf {
    pub fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        // The queue takes one more than was asked for; what lies beyond is never answered.
        let queued = (0..4).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        });
        Self { _queued: queued.collect(), _listener: listener, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
