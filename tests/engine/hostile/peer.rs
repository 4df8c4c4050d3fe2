//! One scripted end of a connection: the words that scripts are made of.
//!
//! Threads and blocking sockets: a script reads like what it does on the wire. Nothing waits for longer than
//! [`PATIENCE`], so a connection that the engine forgets ends a script as `false`, not a test as a hang.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::{read_body, read_head};
use crate::wait::PATIENCE;

/// A request as far as scripts care.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub id: String,
}

/// The socket, or TLS on it.
enum Wire {
    Plain(TcpStream),
    /// Shakes hands with the first byte that is read or written.
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buf),
            Self::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

pub struct Peer {
    stream: BufReader<Wire>,
    /// Which connection this is, from 0.
    pub number: usize,
    /// Ended by the script itself: there is no end to wait for.
    pub ended: bool,
}

impl Peer {
    pub fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>, number: usize) -> Self {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        let wire = match tls {
            None => Wire::Plain(stream),
            Some(config) => {
                let connection = ServerConnection::new(config).expect("a configuration that fits");
                Wire::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        };
        Self { stream: BufReader::new(wire), number, ended: false }
    }

    fn socket(&self) -> &TcpStream {
        self.stream.get_ref().socket()
    }

    /// Bytes under TLS, where there is TLS.
    pub fn say_below(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let mut socket = self.socket();
        socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Ends TLS as it should be ended.
    pub fn close_notify(&mut self) {
        if let Wire::Tls(tls) = self.stream.get_mut() {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }

    /// Reads a request, whole. `None` at the end of the connection.
    pub fn request(&mut self) -> Option<Asked> {
        let (_, headers) = read_head(&mut self.stream).ok()?;
        read_body(&mut self.stream, &headers).ok()?;
        let id = headers.iter().find(|(name, _)| name == "webhook-id").map(|(_, value)| value.clone());
        Some(Asked { id: id.unwrap_or_default() })
    }

    /// Reads so many bytes, of whatever.
    pub fn read(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).is_ok().then_some(bytes)
    }

    /// `false` where the other side has gone.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let wire = self.stream.get_mut();
        wire.write_all(bytes.as_ref()).and_then(|()| wire.flush()).is_ok()
    }

    /// One byte after the other, at this pace.
    pub fn drip(&mut self, bytes: impl AsRef<[u8]>, every: Duration) -> bool {
        bytes.as_ref().iter().all(|byte| {
            pause(every);
            self.say([*byte])
        })
    }

    /// The same again and again, as fast as it goes, until the other side has gone.
    pub fn flood(&mut self, bytes: impl AsRef<[u8]>) {
        let unit = bytes.as_ref();
        let many = unit.repeat((16 * 1024 / unit.len()).max(1));
        let give_up = Instant::now() + PATIENCE;
        while self.say(&many) && Instant::now() < give_up {}
    }

    /// Waits until the other side closes; gives whether it did.
    pub fn until_closed(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !timed_out(&error),
            }
        }
    }

    /// No further byte comes, but the socket stays open for what the other side says.
    pub fn half_close(&mut self) {
        let _ = self.socket().shutdown(std::net::Shutdown::Write);
    }

    /// Ends the connection in good order, as far as what was read allows it.
    pub fn close(&mut self) {
        self.ended = true;
    }

    /// Ends the connection by RST.
    pub fn reset(&mut self) {
        let _ = socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
        self.ended = true;
    }
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The pace of a slow receiver: time itself is what it does to the engine.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
