//! HTTP/2 by hand (RFC 9113): frames are written as they are told, valid or not.

use super::peer::Peer;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

const PREFACE_LEN: usize = 24;

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = len[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let pair = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(pair).collect::<Vec<_>>())
}

pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn rst_stream(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// A header block (RFC 7541): literals without indexing, without Huffman, names of at most 126 bytes.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.extend([0, u8::try_from(name.len()).unwrap()]);
        bytes.extend(name.as_bytes());
        bytes.extend(integer(value.len()));
        bytes.extend(value.as_bytes());
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
fn integer(mut value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![value as u8];
    }
    let mut bytes = vec![127];
    value -= 127;
    while value >= 128 {
        bytes.push((value % 128) as u8 | 128);
        value /= 128;
    }
    bytes.push(value as u8);
    bytes
}

/// The head of an answer, whole; `flags` beside `END_HEADERS`.
pub fn answer(stream: u32, status: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(&[(":status", status)]))
}

/// The server's side of a connection.
pub struct H2<'a> {
    pub peer: &'a mut Peer,
}

impl<'a> H2<'a> {
    /// Reads the preface and says these settings.
    pub fn open(peer: &'a mut Peer, values: &[(u16, u32)]) -> Option<Self> {
        let h2 = Self::silent(peer)?;
        h2.peer.say(settings(values));
        Some(h2)
    }

    /// The same without a word.
    pub fn silent(peer: &'a mut Peer) -> Option<Self> {
        let preface = peer.read(PREFACE_LEN)?;
        preface.starts_with(b"PRI * HTTP/2.0").then_some(Self { peer })
    }

    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.peer.say(bytes)
    }

    /// The next frame, as it is.
    pub fn next(&mut self) -> Option<Frame> {
        let head = self.peer.read(9)?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let payload = self.peer.read(len as usize)?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Goes on as a good server until a request is there, whole; gives its stream.
    pub fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next()?;
            self.serve(&frame);
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                return Some(frame.stream);
            }
        }
    }

    /// The same until the first frame of a request.
    pub fn head(&mut self) -> Option<u32> {
        loop {
            let frame = self.next()?;
            self.serve(&frame);
            if frame.kind == HEADERS {
                return Some(frame.stream);
            }
        }
    }

    /// Goes on until the other side closes.
    pub fn drain(&mut self) {
        while let Some(frame) = self.next() {
            self.serve(&frame);
        }
    }

    /// What courtesy asks for.
    fn serve(&mut self, got: &Frame) {
        match got.kind {
            SETTINGS if got.flags & ACK == 0 => drop(self.say(frame(SETTINGS, ACK, 0, &[]))),
            PING if got.flags & ACK == 0 => drop(self.say(frame(PING, ACK, 0, &got.payload))),
            DATA if !got.payload.is_empty() => {
                let len = u32::try_from(got.payload.len()).unwrap();
                self.say(window_update(0, len));
                if got.flags & END_STREAM == 0 {
                    self.say(window_update(got.stream, len));
                }
            }
            _ => {}
        }
    }
}

/// Goes through a request as a good server, then does this on its stream.
pub fn asked(
    then: impl Fn(&mut H2<'_>, u32) + Send + Sync + 'static,
) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    move |peer| {
        if let Some(mut h2) = H2::open(peer, &[])
            && let Some(stream) = h2.request()
        {
            then(&mut h2, stream);
            h2.drain();
        }
    }
}

/// The same, and all that is done is to say this.
pub fn says(
    bytes: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    asked(move |h2, stream| {
        h2.say(bytes(stream));
    })
}

/// Says settings and then this, before anything is asked.
pub fn first(
    values: &'static [(u16, u32)],
    bytes: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    move |peer| {
        if let Some(mut h2) = H2::open(peer, values) {
            h2.say(bytes());
            h2.drain();
        }
    }
}

/// The same again and again after a request.
pub fn floods(
    head: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
    flood: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    asked(move |h2, stream| {
        h2.say(head(stream));
        h2.peer.flood(flood(stream));
    })
}
