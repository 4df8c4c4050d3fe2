//! A name server that says what a test wants it to, over UDP and TCP. Its packets are made by hand
//! (RFC 1035 §4), so that they do not come from the library that reads them.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

/// What a question gets.
#[derive(Clone, Debug)]
pub enum Reply {
    Addresses(Vec<IpAddr>, u32),
    /// An alias of the first time to live, and addresses of the second.
    Alias(&'static str, u32, Vec<IpAddr>, u32),
    /// NXDOMAIN, with the time for which it holds.
    NoName(u32),
    /// The name is there, but nothing of this type.
    Nothing,
    /// A response code: 2 is SERVFAIL, 5 REFUSED.
    Code(u8),
    /// "Ask again over TCP", where it is then this.
    Truncated(Vec<IpAddr>),
    Garbage,
    Silence,
}

/// Answers `name`, whether it is asked for IPv6, and the number of the question from 0.
type Zone = dyn FnMut(&str, bool, usize) -> Reply + Send;

pub struct NameServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<HashMap<(String, bool), usize>>>,
}

impl NameServer {
    pub fn start(zone: impl FnMut(&str, bool, usize) -> Reply + Send + 'static) -> Self {
        let (tcp, udp) = pair();
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let zone: Arc<Mutex<Box<Zone>>> = Arc::new(Mutex::new(Box::new(zone)));
        let (counts, answers) = (Arc::clone(&asked), Arc::clone(&zone));
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((len, from)) = udp.recv_from(&mut packet) {
                if let Some(answer) = answer(&packet[..len], &counts, &answers, false) {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        let counts = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().map_while(Result::ok) {
                let mut len = [0; 2];
                while stream.read_exact(&mut len).is_ok() {
                    let mut packet = vec![0; u16::from_be_bytes(len).into()];
                    stream.read_exact(&mut packet).unwrap();
                    if let Some(answer) = answer(&packet, &counts, &zone, true) {
                        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                        stream.write_all(&answer).unwrap();
                    }
                }
            }
        });
        Self { address, asked }
    }

    /// How often `name` was asked for.
    pub fn asked(&self, name: &str, v6: bool) -> usize {
        self.asked.lock().unwrap().get(&(name.to_owned(), v6)).copied().unwrap_or(0)
    }
}

/// Both on one port.
fn pair() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both");
}

fn answer(
    packet: &[u8],
    asked: &Mutex<HashMap<(String, bool), usize>>,
    zone: &Mutex<Box<Zone>>,
    tcp: bool,
) -> Option<Vec<u8>> {
    let (name, end) = name(packet);
    let kind = u16::from_be_bytes([packet[end], packet[end + 1]]);
    let v6 = kind == 28;
    let number = {
        let mut asked = asked.lock().unwrap();
        let count = asked.entry((name.clone(), v6)).or_insert(0);
        *count += 1;
        *count - 1
    };
    let reply = zone.lock().unwrap()(&name, v6, number);
    let question = &packet[12..end + 4];
    let (code, truncated, answers, authority) = match reply {
        Reply::Silence => return None,
        Reply::Garbage => return Some([&packet[..2], b"\x81\x80garbage"].concat()),
        Reply::Addresses(addresses, ttl) => (0, false, records(&addresses, v6, ttl), Vec::new()),
        Reply::Truncated(addresses) if tcp => (0, false, records(&addresses, v6, 60), Vec::new()),
        Reply::Truncated(_) => (0, true, Vec::new(), Vec::new()),
        Reply::Alias(target, alias_ttl, addresses, ttl) => {
            let target = encode(target);
            let mut all = vec![record(&[0xc0, 12], 5, alias_ttl, &target)];
            for address in of_family(&addresses, v6) {
                all.push(record(&target, kind, ttl, &octets(address)));
            }
            (0, false, all, Vec::new())
        }
        Reply::NoName(ttl) => (3, false, Vec::new(), vec![soa(ttl)]),
        Reply::Nothing => (0, false, Vec::new(), vec![soa(60)]),
        Reply::Code(code) => (code, false, Vec::new(), Vec::new()),
    };
    let flags = 0x8180_u16 | (u16::from(truncated) << 9) | u16::from(code);
    let mut out = packet[..2].to_vec();
    out.extend(flags.to_be_bytes());
    for count in [1, answers.len(), authority.len(), 0] {
        out.extend(u16::try_from(count).unwrap().to_be_bytes());
    }
    out.extend(question);
    out.extend(answers.concat());
    out.extend(authority.concat());
    Some(out)
}

/// The name of the question, and where it ends.
fn name(packet: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let len = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..=at + len]).to_lowercase());
        at += len + 1;
    }
    (labels.join("."), at + 1)
}

fn encode(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn records(addresses: &[IpAddr], v6: bool, ttl: u32) -> Vec<Vec<u8>> {
    let kind = if v6 { 28 } else { 1 };
    of_family(addresses, v6).map(|address| record(&[0xc0, 12], kind, ttl, &octets(address))).collect()
}

fn of_family(addresses: &[IpAddr], v6: bool) -> impl Iterator<Item = &IpAddr> {
    addresses.iter().filter(move |address| address.is_ipv6() == v6)
}

fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn record(name: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut out = name.to_vec();
    out.extend(kind.to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

fn soa(ttl: u32) -> Vec<u8> {
    let mut data = vec![0, 0];
    for number in [1, 1, 1, 1, ttl] {
        data.extend(number.to_be_bytes());
    }
    record(&[0xc0, 12], 6, ttl, &data)
}
