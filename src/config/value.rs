//! Values of the configuration: how each is read from TOML, and written back.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::error::Problem;
use crate::model::JsonObject;

/// How the text of an environment variable becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It is the string itself.
    Text,
    /// It is read as TOML; where that fails, it is the string itself.
    Literal,
    /// A TOML array, or strings with commas between them.
    List,
}

pub(super) trait Setting: Sized {
    const SHAPE: Shape;
    fn read(value: &Value) -> Result<Self, Problem>;
    /// As TOML; `None` for a key that is better left out.
    fn write(&self) -> Option<String>;
}

/// Bytes, written as `256KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// For use as a length in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&(_, bytes): &(&str, u64)| self.0 >= bytes && self.0.is_multiple_of(bytes);
        let (unit, bytes) = SIZE_UNITS.into_iter().find(fits).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

fn parse_size(text: &str) -> Option<Size> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, bytes) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(bytes).map(Size)
}

const DURATION_UNITS_MS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest duration there is: ten years, so that sums with wall time never overflow.
const DURATION_MS_MAX: u64 = 3_650 * 86_400_000;

/// Reads `500ms`, `15s`, `5m`, `2h`, `7d` and `0`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, unit_ms) = DURATION_UNITS_MS.into_iter().find(|(name, _)| *name == unit)?;
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (ms <= DURATION_MS_MAX).then(|| Duration::from_millis(ms))
}

/// Writes a duration so that [`parse_duration`] reads it back, cut to milliseconds.
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // One day is written as 24h: people say so.
    let fits = |&(unit, unit_ms): &(&str, u64)| {
        ms.is_multiple_of(unit_ms) && ms >= unit_ms * if unit == "d" { 2 } else { 1 }
    };
    match DURATION_UNITS_MS.into_iter().find(fits) {
        Some((unit, unit_ms)) if ms > 0 => format!("{}{unit}", ms / unit_ms),
        _ => "0s".to_owned(),
    }
}

/// Permissions of a file, written as `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A range of addresses, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

impl Cidr {
    /// `None` where it is no address, the prefix is too long, or bits behind the prefix are set.
    /// An address alone is a range of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &&str| text.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            Some(text) => Some(text).filter(digits)?.parse().ok().filter(|prefix| *prefix <= bits)?,
            None => bits,
        };
        let cidr = Self { address, prefix };
        (cidr.masked(address) == Some(cidr.value(address)?)).then_some(cidr)
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.value(address).is_some() && self.masked(address) == self.value(self.address)
    }

    /// The address as a number, if it is of the same family.
    fn value(&self, address: IpAddr) -> Option<u128> {
        match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(other)) => Some(u128::from(other.to_bits())),
            (IpAddr::V6(_), IpAddr::V6(other)) => Some(other.to_bits()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    fn masked(&self, address: IpAddr) -> Option<u128> {
        let bits: u32 = if self.address.is_ipv4() { 32 } else { 128 };
        let host_bits = bits - u32::from(self.prefix);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        self.value(address).map(|value| value & mask)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

pub(super) fn quoted(text: impl fmt::Display) -> String {
    Value::String(text.to_string()).to_string()
}

pub(super) fn wrong_type(want: &'static str, value: &Value) -> Problem {
    Problem::Type { want, got: kind(value) }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Reads a string by `parse`; `want` says to people what it should have been.
fn parsed<T>(value: &Value, want: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Problem> {
    let text = value.as_str().ok_or_else(|| wrong_type(want, value))?;
    parse(text).ok_or_else(|| Problem::Format { want, text: excerpt(text) })
}

/// As much of a value as an error repeats.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

macro_rules! text_setting {
    ($type:ty, $want:expr, $parse:expr, $write:expr) => {
        impl Setting for $type {
            const SHAPE: Shape = Shape::Text;
            fn read(value: &Value) -> Result<Self, Problem> {
                parsed(value, $want, $parse)
            }
            fn write(&self) -> Option<String> {
                Some(quoted(($write)(self)))
            }
        }

        impl Setting for Option<$type> {
            const SHAPE: Shape = Shape::Text;
            fn read(value: &Value) -> Result<Self, Problem> {
                if value.as_str() == Some("") { Ok(None) } else { <$type>::read(value).map(Some) }
            }
            fn write(&self) -> Option<String> {
                self.as_ref().map_or_else(|| Some(quoted("")), Setting::write)
            }
        }
    };
}

text_setting!(Size, "a size such as \"256KiB\" or \"16MiB\"", parse_size, |size: &Size| *size);
text_setting!(
    FileMode,
    "permissions in octal such as \"0660\"",
    |text| u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && text.len() >= 3).map(FileMode),
    |mode: &FileMode| *mode
);
text_setting!(
    SocketAddr,
    "an address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
    parse_listen,
    |address: &SocketAddr| *address
);
text_setting!(
    Origin,
    "an origin such as \"https://console.example.com\"",
    Origin::parse,
    |origin: &Origin| origin.0.clone()
);
text_setting!(Cidr, "a range of addresses such as \"10.0.0.0/8\"", Cidr::parse, |cidr: &Cidr| *cidr);
text_setting!(
    PathBuf,
    "a path",
    |text| (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text)),
    |path: &PathBuf| path.display().to_string()
);

/// Scheme, host and port of a page, as a browser writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(pub String);

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        (url.origin().ascii_serialization() == text).then(|| Self(text.to_owned()))
    }
}

fn parse_listen(text: &str) -> Option<SocketAddr> {
    let local = |port: &str| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)));
    text.strip_prefix("localhost:").map_or_else(|| text.parse().ok(), local)
}

impl Setting for Duration {
    const SHAPE: Shape = Shape::Text;
    fn read(value: &Value) -> Result<Self, Problem> {
        if value.as_integer() == Some(0) {
            return Ok(Self::ZERO);
        }
        parsed(value, "a duration such as \"500ms\", \"15s\", \"5m\", \"2h\" or \"7d\"", parse_duration)
    }
    fn write(&self) -> Option<String> {
        Some(quoted(write_duration(*self)))
    }
}

impl Setting for String {
    const SHAPE: Shape = Shape::Text;
    fn read(value: &Value) -> Result<Self, Problem> {
        parsed(value, "text", |text| Some(text.to_owned()))
    }
    fn write(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for bool {
    const SHAPE: Shape = Shape::Literal;
    fn read(value: &Value) -> Result<Self, Problem> {
        value.as_bool().ok_or_else(|| wrong_type("true or false", value))
    }
    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    const SHAPE: Shape = Shape::Literal;
    fn read(value: &Value) -> Result<Self, Problem> {
        let want = "a whole number, not negative";
        let number = value.as_integer().ok_or_else(|| wrong_type(want, value))?;
        Self::try_from(number).map_err(|_| Problem::Format { want, text: number.to_string() })
    }
    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for f64 {
    const SHAPE: Shape = Shape::Literal;
    fn read(value: &Value) -> Result<Self, Problem> {
        let whole = value.as_integer().and_then(|number| i32::try_from(number).ok()).map(Self::from);
        let number = value.as_float().or(whole).ok_or_else(|| wrong_type("a number", value))?;
        let finite = Some(number).filter(|number| number.is_finite());
        finite.ok_or_else(|| Problem::Format { want: "a number", text: number.to_string() })
    }
    fn write(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

macro_rules! left_out_if_none {
    ($($type:ty),*) => {$(
        impl Setting for Option<$type> {
            const SHAPE: Shape = <$type>::SHAPE;
            fn read(value: &Value) -> Result<Self, Problem> {
                <$type>::read(value).map(Some)
            }
            fn write(&self) -> Option<String> {
                self.as_ref().and_then(Setting::write)
            }
        }
    )*};
}
left_out_if_none!(u32, f64, JsonObject);

impl<T: Setting> Setting for Vec<T> {
    const SHAPE: Shape = Shape::List;
    fn read(value: &Value) -> Result<Self, Problem> {
        let items = value.as_array().ok_or_else(|| wrong_type("a list", value))?;
        items.iter().map(T::read).collect()
    }
    fn write(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(Setting::write).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl Setting for JsonObject {
    const SHAPE: Shape = Shape::Literal;
    /// A TOML table, or JSON as text (which keeps the order of its keys).
    fn read(value: &Value) -> Result<Self, Problem> {
        let want = "a table, or a JSON object as text";
        match value {
            Value::String(text) => {
                Self::parse(text).map_err(|_| Problem::Format { want, text: excerpt(text) })
            }
            Value::Table(table) => Self::of(table).map_err(|_| wrong_type(want, value)),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => Err(wrong_type(want, value)),
        }
    }
    fn write(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}
