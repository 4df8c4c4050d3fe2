//! HTTP/2 frame by frame: receivers that say GOAWAY, refuse, flood or talk nonsense, by prior knowledge.

use std::sync::Mutex;

use monoio::io::IntoPollIo as _;

use super::h2::knowing;
use super::*;
use crate::send::CloseReason;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `:status: 204` and `:status: 200`, by the static table.
const STATUS_204: &[u8] = &[0x89];
const STATUS_200: &[u8] = &[0x88];

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A connection after the client's preface.
struct Talk(Peer);

impl Talk {
    /// Reads the preface, says SETTINGS.
    fn greet(mut peer: Peer) -> Self {
        let mut preface = [0; 24];
        peer.stream.read_exact(&mut preface).expect("a preface");
        assert_eq!(preface, PREFACE);
        let mut talk = Self(peer);
        talk.say(SETTINGS, 0, 0, &[]);
        talk
    }

    fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let mut bytes = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.0.answer(bytes)
    }

    fn hear(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.stream.read_exact(&mut head).ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; len as usize];
        self.0.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next request, whole: its stream.
    fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.hear()?;
            let _ = self.0.note.send(format!("{} {} {:?}", frame.kind, frame.stream, frame.payload.last()));
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                return Some(frame.stream);
            }
        }
    }

    fn answer(&mut self, stream: u32) -> bool {
        let _ = self.0.note.send(format!("answered {}/{stream}", self.0.number));
        self.say(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_204)
    }

    /// Answers all that comes.
    fn serve(&mut self) {
        while let Some(stream) = self.request() {
            self.answer(stream);
        }
    }

    fn reset(&mut self, stream: u32, reason: u32) {
        let _ = self.0.note.send(format!("reset {}/{stream}", self.0.number));
        self.say(RST_STREAM, 0, stream, &reason.to_be_bytes());
    }

    fn goaway(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        self.say(GOAWAY, 0, 0, &payload);
    }
}

fn count(notes: &[String], begin: &str) -> usize {
    notes.iter().filter(|note| note.starts_with(begin)).count()
}

/// Starts `jobs` deliveries at once.
fn deliver_all(address: SocketAddr, jobs: usize) -> (Vec<Outcome>, crate::send::ConnectionCounts) {
    on_runtime(async {
        let sender = sender(knowing(options()));
        for id in 0..jobs {
            sender.start(job(id as u64, &to(address)));
        }
        let done = completions(&sender, jobs).await;
        assert_eq!(sender.in_flight(), 0);
        (done.into_iter().map(|(_, outcome)| outcome).collect(), sender.connections())
    })
}

#[test]
fn goaway_loses_nothing_and_repeats_nothing() {
    let (address, notes) = receiver(|peer| {
        let first = peer.number == 0;
        let mut talk = Talk::greet(peer);
        if first {
            let streams: Vec<_> = (0..10).map_while(|_| talk.request()).collect();
            assert_eq!(streams.len(), 10);
            // The first three are taken, the others are not.
            talk.goaway(streams[2]);
            for stream in &streams[..3] {
                talk.answer(*stream);
            }
            while talk.hear().is_some() {}
        } else {
            talk.serve();
        }
    });
    let (outcomes, counts) = deliver_all(address, 10);
    for outcome in &outcomes {
        assert_eq!((&outcome.error, outcome.status), (&None, Some(204)));
    }
    let notes: Vec<_> = notes.try_iter().collect();
    assert_eq!((count(&notes, "answered 0/"), count(&notes, "answered 1/")), (3, 7), "{notes:?}");
    assert_eq!((counts.h2.opened, counts.h2.closed(CloseReason::GoAway)), (2, 1));
}

#[test]
fn a_refused_request_goes_out_again() {
    let (address, notes) = receiver(|peer| {
        let first = peer.number == 0;
        let mut talk = Talk::greet(peer);
        if first && let Some(stream) = talk.request() {
            talk.reset(stream, 7);
        }
        talk.serve();
    });
    let (outcomes, counts) = deliver_all(address, 1);
    assert_eq!((&outcomes[0].error, outcomes[0].status), (&None, Some(204)));
    let notes: Vec<_> = notes.try_iter().collect();
    assert_eq!((count(&notes, "reset 0/"), count(&notes, "answered 1/")), (1, 1), "{notes:?}");
    assert_eq!(counts.h2.closed(CloseReason::Refused), 1);
}

#[test]
fn a_request_that_is_always_refused_fails() {
    let (address, notes) = receiver(|peer| {
        let mut talk = Talk::greet(peer);
        while let Some(stream) = talk.request() {
            talk.reset(stream, 7);
        }
    });
    let (outcomes, _) = deliver_all(address, 1);
    expect_error(&outcomes[0], ErrorKind::Reset, "REFUSED_STREAM");
    assert_eq!(count(&notes.try_iter().collect::<Vec<_>>(), "reset"), 3);
}

#[test]
fn a_request_that_may_have_been_processed_is_not_repeated() {
    let reset = |reason: u32| {
        let (address, notes) = receiver(move |peer| {
            let mut talk = Talk::greet(peer);
            if let Some(stream) = talk.request() {
                talk.reset(stream, reason);
            }
            talk.serve();
        });
        let (outcomes, counts) = deliver_all(address, 1);
        assert_eq!((counts.open, count(&notes.try_iter().collect::<Vec<_>>(), "answered")), (1, 0));
        outcomes.into_iter().next().expect("one")
    };
    expect_error(&reset(2), ErrorKind::Reset, "INTERNAL_ERROR");
    expect_error(&reset(8), ErrorKind::Reset, "CANCEL");
    let (address, notes) = receiver(|peer| {
        let mut talk = Talk::greet(peer);
        talk.request();
    });
    let (outcomes, _) = deliver_all(address, 3);
    for outcome in &outcomes {
        expect_error(outcome, ErrorKind::Reset, "connection");
    }
    assert!(count(&notes.try_iter().collect::<Vec<_>>(), "0 1 ") <= 1);
}

#[test]
fn a_request_that_met_the_end_of_an_idle_connection_goes_out_again() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (address, notes) = receiver(move |peer| {
        let first = peer.number == 0;
        let mut talk = Talk::greet(peer);
        if !first {
            return talk.serve();
        }
        if let Some(stream) = talk.request() {
            talk.answer(stream);
        }
        let _ = gone.lock().expect("one reader").recv();
        let note = talk.0.note.clone();
        drop(talk);
        let _ = note.send("closed".to_owned());
    });
    let (first, firsts) = mpsc::channel::<()>();
    let firsts = Mutex::new(firsts);
    let (witness, witnessed) = receiver(move |mut peer| {
        let _ = firsts.lock().expect("one reader").recv();
        peer.answer("x");
        let _ = peer.note.send("written".to_owned());
        peer.wait_for_end();
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
        let stream = monoio::net::TcpStream::connect_addr(witness).await.expect("connect");
        let mut stream = stream.into_poll_io().expect("poll io");
        // As with HTTP/1.1: what is started now meets an end that the sender cannot have seen.
        super::connections::after_a_byte(&mut stream, || {
            first.send(()).expect("a witness");
            witnessed.recv().expect("written");
            go.send(()).expect("a receiver");
            assert!(notes.iter().any(|note| note == "closed"));
        })
        .await;
        assert_eq!(sender.connections().open, 1, "the sender has not seen it");
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
        assert_eq!(
            (sender.connections().h2.opened, sender.connections().h2.closed(CloseReason::Peer)),
            (2, 1)
        );
    });
}

/// What becomes of a delivery to a receiver that goes on like this once it has the request.
fn after_a_request(behave: impl Fn(&mut Talk, u32) + Send + Sync + 'static) -> Outcome {
    let (address, notes) = receiver(move |peer| {
        let mut talk = Talk::greet(peer);
        if let Some(stream) = talk.request() {
            behave(&mut talk, stream);
        }
        while talk.hear().is_some() {}
        let _ = talk.0.note.send("end".to_owned());
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        let outcome = deliver(&sender, &to(address)).await;
        // The connection is closed, by whatever bound ends what goes on there.
        while !notes.try_iter().any(|note| note == "end") {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        outcome
    })
}

#[test]
fn floods_end() {
    let outcome = after_a_request(|talk, _| while talk.say(PING, 0, 0, &[7; 8]) {});
    expect_error(&outcome, ErrorKind::Protocol, "more before and around");
    let outcome = after_a_request(|talk, _| while talk.say(SETTINGS, 0, 0, &[]) {});
    expect_error(&outcome, ErrorKind::Protocol, "more before and around");
    let outcome = after_a_request(|talk, stream| {
        // `:status: 103`, spelt out.
        let interim = [0x08, 0x03, b'1', b'0', b'3'];
        while talk.say(HEADERS, END_HEADERS, stream, &interim) {}
    });
    expect_error(&outcome, ErrorKind::Protocol, "interim answers");
    let outcome = after_a_request(|talk, stream| {
        // A header of 60 KiB in frames of 16.
        let mut block = vec![0x88, 0x00, 0x01, b'x', 0x7f, 0xe1, 0xd3, 0x03];
        block.resize(60_000, b'y');
        talk.say(HEADERS, 0, stream, &block[..16_000]);
        for part in block[16_000..].chunks(16_000) {
            talk.say(9, 0, stream, part);
        }
        while talk.say(9, 0, stream, &[b'y'; 16_000]) {}
    });
    assert!(outcome.error.is_some() && outcome.status.is_none(), "{outcome:?}");
}

#[test]
fn nonsense_is_a_protocol_error() {
    let outcome = after_a_request(|talk, stream| {
        talk.say(HEADERS, END_HEADERS, stream, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    });
    expect_error(&outcome, ErrorKind::Protocol, "not valid HTTP/2");
    let outcome = after_a_request(|talk, stream| {
        talk.say(DATA, 0, stream, b"before any headers");
    });
    expect_error(&outcome, ErrorKind::Protocol, "not valid HTTP/2");
    let outcome = after_a_request(|talk, _| {
        talk.say(HEADERS, END_HEADERS | END_STREAM, 777, STATUS_204);
    });
    expect_error(&outcome, ErrorKind::Protocol, "not valid HTTP/2");
}

#[test]
fn a_body_without_end_is_cut_and_the_connection_goes_on() {
    let (address, notes) = receiver(|peer| {
        let mut talk = Talk::greet(peer);
        let stream = talk.request().expect("a request");
        talk.say(HEADERS, END_HEADERS, stream, STATUS_200);
        // As much as the window lets out, and whatever is let out after that.
        let mut sent = 0;
        while sent < 65_000 {
            talk.say(DATA, 0, stream, &[b'x'; 5_000]);
            sent += 5_000;
        }
        loop {
            match talk.hear() {
                Some(frame) if frame.kind == 8 && frame.stream == stream => {
                    talk.say(DATA, 0, stream, &[b'x'; 5_000]);
                }
                Some(frame) if frame.kind == RST_STREAM => {
                    let _ = talk.0.note.send(format!("cancelled {:?}", frame.payload));
                    break;
                }
                Some(_) => {}
                None => return,
            }
        }
        talk.serve();
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        let outcome = deliver(&sender, &to(address)).await;
        assert_eq!((&outcome.error, outcome.status), (&None, Some(200)));
        let response = outcome.response.expect("kept");
        assert_eq!((response.body.len(), response.truncated), (4096, true));
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
        assert_eq!(sender.connections().h2.opened, 1);
    });
    assert!(notes.try_iter().any(|note| note == "cancelled [0, 0, 0, 8]"));
}

#[test]
fn a_deadline_resets_the_stream_alone() {
    let (address, notes) = receiver(|peer| {
        let mut talk = Talk::greet(peer);
        let first = talk.request().expect("a request");
        let second = talk.request().expect("a request");
        talk.answer(second);
        loop {
            match talk.hear() {
                Some(frame) if frame.kind == RST_STREAM => {
                    let _ = talk.0.note.send(format!("cancelled {}", frame.stream == first));
                    break;
                }
                Some(_) => {}
                None => return,
            }
        }
        talk.serve();
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        sender.start(job(1, &to(address)));
        sender.start(job(2, &to(address)));
        assert_eq!(completions(&sender, 1).await[0].0, 2);
        sender.cancel(1, CancelReason::Timeout);
        let outcome = completions(&sender, 1).await.remove(0).1;
        expect_error(&outcome, ErrorKind::Timeout, "waiting for the answer");
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
        assert_eq!((sender.connections().open, sender.connections().h2.opened), (1, 1));
    });
    assert!(notes.try_iter().any(|note| note == "cancelled true"));
}

#[test]
fn a_connection_that_has_died_silently_is_left() {
    let (address, notes) = receiver(|peer| {
        let first = peer.number == 0;
        let mut talk = Talk::greet(peer);
        if first {
            while talk.request().is_some() {}
        } else {
            talk.serve();
        }
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        sender.start(job(1, &to(address)));
        while !notes.try_iter().any(|note| note.starts_with("0 1 ")) {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        sender.cancel(1, CancelReason::Timeout);
        expect_error(
            &completions(&sender, 1).await.remove(0).1,
            ErrorKind::Timeout,
            "waiting for the answer",
        );
        assert_eq!(sender.connections().h2.closed(CloseReason::Cancelled), 1);
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
    });
}

#[test]
fn a_receiver_without_settings_is_given_up() {
    let (address, notes) = receiver(|mut peer| {
        let _ = peer.note.send("connected".to_owned());
        peer.wait_for_end();
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        for id in 0..3 {
            sender.start(job(id, &to(address)));
        }
        while notes.try_recv().is_err() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        sender.tick(clock() + Duration::from_secs(5));
        for (_, outcome) in completions(&sender, 3).await {
            expect_error(&outcome, ErrorKind::Timeout, "did not send its HTTP/2 settings within");
        }
        assert_eq!((sender.connections().open, sender.connections().h2.closed(CloseReason::Connect)), (0, 1));
    });
}

#[test]
fn a_receiver_that_gives_connections_up_at_once_is_asked_again() {
    let delivered = |until: usize| {
        let (address, _notes) = receiver(move |peer| {
            let number = peer.number;
            let mut talk = Talk::greet(peer);
            if number < until {
                talk.goaway(0);
            }
            talk.serve();
        });
        let (mut outcomes, counts) = deliver_all(address, 5);
        (outcomes.remove(0), counts.h2)
    };
    let (outcome, counts) = delivered(2);
    assert_eq!((&outcome.error, counts.closed(CloseReason::GoAway)), (&None, 2));
    let (outcome, counts) = delivered(100);
    expect_error(&outcome, ErrorKind::Reset, "NO_ERROR");
    assert!(counts.closed(CloseReason::GoAway) <= 6, "{counts:?}");
}

#[test]
fn a_receiver_that_takes_few_requests_a_connection_gets_all_of_them() {
    let (address, notes) = receiver(|peer| {
        let mut talk = Talk::greet(peer);
        for n in 0..20 {
            let Some(stream) = talk.request() else { return };
            if n == 19 {
                talk.goaway(stream);
            }
            talk.answer(stream);
        }
        while talk.hear().is_some() {}
    });
    let (outcomes, counts) = deliver_all(address, 100);
    for outcome in &outcomes {
        assert_eq!((&outcome.error, outcome.status), (&None, Some(204)));
    }
    assert_eq!((count(&notes.try_iter().collect::<Vec<_>>(), "answered"), counts.h2.opened), (100, 5));
}

#[test]
fn goodbye_is_said() {
    let (address, notes) = receiver(|peer| {
        let mut talk = Talk::greet(peer);
        let stream = talk.request().expect("a request");
        talk.answer(stream);
        while let Some(frame) = talk.hear() {
            let _ = talk.0.note.send(format!("kind {}", frame.kind));
        }
        let _ = talk.0.note.send("end".to_owned());
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
        sender.tick(clock() + Duration::from_secs(61));
        monoio::time::sleep(Duration::from_millis(1)).await;
    });
    let notes: Vec<_> = notes.iter().take_while(|note| note != "end").collect();
    assert!(notes.contains(&format!("kind {GOAWAY}")), "{notes:?}");
}
