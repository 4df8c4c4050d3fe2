//! One scripted end of a connection: the words that scripts are made of.
//!
//! Threads and blocking sockets: a script reads like what it does on the wire. Nothing waits for longer than
//! [`PATIENCE`], so a connection that the engine forgets ends a script as `false`, not a test as a hang.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::http::{read_body, read_head};
use crate::wait::PATIENCE;

/// A request as far as scripts care.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub id: String,
}

pub struct Peer {
    stream: BufReader<TcpStream>,
    /// Which connection this is, from 0.
    pub number: usize,
    /// Ended by the script itself: there is no end to wait for.
    pub ended: bool,
}

impl Peer {
    pub fn new(stream: TcpStream, number: usize) -> Self {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        Self { stream: BufReader::new(stream), number, ended: false }
    }

    fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Reads a request, whole. `None` at the end of the connection.
    pub fn request(&mut self) -> Option<Asked> {
        let (_, headers) = read_head(&mut self.stream).ok()?;
        read_body(&mut self.stream, &headers).ok()?;
        let id = headers.iter().find(|(name, _)| name == "webhook-id").map(|(_, value)| value.clone());
        Some(Asked { id: id.unwrap_or_default() })
    }

    /// Reads so many bytes, of whatever.
    pub fn read(&mut self, count: usize) -> bool {
        self.stream.read_exact(&mut vec![0; count]).is_ok()
    }

    /// `false` where the other side has gone.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
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
