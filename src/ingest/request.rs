//! A request's bytes → its events, each one well-formed or rejected, in the order of the input.
//!
//! Pure and borrowing: a member of an event is a slice of the body until its envelope is built, which is
//! the one copy made of `data`. One pass over the text: an array's items are read as they are split.
//! Deliberately absent: whether an account exists and whether an id was seen (the log knows), and any
//! look into `data` beyond that it is a JSON object of bounded depth.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde::de::IgnoredAny;

use super::answer::{Problem, ProblemKind};
use super::cloudevents;
use super::envelope::Envelope;
use super::format::{Format, Head};
use super::members::{Members, Shape, first};
use super::rejection::{Code, Rejection, quote};
use crate::model::{AccountName, Catalogue, EventId, NewEvent, TypeBit, UnixMillis};

/// Levels of objects and arrays in `data`, at most. With the envelope around it that is what the usual
/// parsers read without being told otherwise (serde_json: 127).
pub const DATA_DEPTH_MAX: usize = 126;

/// Which names of event types there are.
pub trait Types {
    /// The type's bit and its canonical id. `name` may be an id, a seed name or an alias.
    fn resolve(&self, name: &str) -> Option<(TypeBit, &str)>;
    /// The name that an unknown one was probably meant to be.
    fn nearest(&self, name: &str) -> Option<&str> {
        let _ = name;
        None
    }
}

impl Types for Catalogue {
    fn resolve(&self, name: &str) -> Option<(TypeBit, &str)> {
        // The engine's own are sent by nobody.
        let bit = Catalogue::resolve(self, name).filter(|bit| !bit.is_operational())?;
        Some((bit, self.id(bit)?))
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        Catalogue::nearest(self, name)
            .filter(|near| self.resolve(near).is_some_and(|bit| !bit.is_operational()))
    }
}

/// Bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event as it came, its outer white space left out.
    pub max_event_size: usize,
    /// Events in one request.
    pub max_batch: usize,
    /// Bytes of one request's body.
    pub max_request_size: usize,
}

/// What reading a request needs to know.
pub struct Context<'a, T> {
    types: &'a T,
    limits: Limits,
    now: UnixMillis,
    new_id: &'a dyn Fn() -> EventId,
    only: Option<&'a AccountName>,
    now_text: OnceCell<String>,
}

impl<'a, T: Types> Context<'a, T> {
    /// `now` is the time of events that have none, `new_id` makes ids for those that have none, and
    /// `only` is the account that the sender is confined to.
    pub fn new(
        types: &'a T,
        limits: Limits,
        now: UnixMillis,
        new_id: &'a dyn Fn() -> EventId,
        only: Option<&'a AccountName>,
    ) -> Self {
        Self { types, limits, now, new_id, only, now_text: OnceCell::new() }
    }

    /// An item that is larger than it may be.
    pub(super) fn too_large(&self, len: usize) -> Option<Rejection> {
        let max = self.limits.max_event_size;
        (len > max).then(|| {
            let message = format!("the event has {len} bytes; at most {max} are taken");
            Rejection::new(Code::EventTooLarge, None, message)
        })
    }
}

/// The result for one item.
pub type Item = Result<NewEvent, Rejection>;

/// Reads a whole request. The result is never empty.
///
/// # Errors
/// Nothing of the request can be used: wrong content type, not JSON, no event, too many, too large.
pub fn parse<T: Types>(head: &Head<'_>, body: &[u8], context: &Context<'_, T>) -> Result<Vec<Item>, Problem> {
    if body.len() > context.limits.max_request_size {
        return Err(too_large(context.limits.max_request_size));
    }
    match head.format()? {
        Format::Ndjson => lines(body, context),
        Format::Json => {
            let text = text(body)?;
            if text.starts_with('[') { array(text, context, plain) } else { single(text, context, plain) }
        }
        Format::CloudEvent => single(text(body)?, context, cloudevents::structured),
        Format::CloudEventBatch => array(text(body)?, context, cloudevents::structured),
        Format::CloudEventBinary => {
            let text = text(body)?;
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(&error))?;
            Ok(vec![cloudevents::binary(head.attributes, text, context)])
        }
    }
}

/// The problem of a body over `max` bytes.
#[must_use]
pub fn too_large(max: usize) -> Problem {
    Problem::new(ProblemKind::RequestTooLarge, format!("a request's body has at most {max} bytes"))
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemKind::MalformedJson, error.to_string())
}

fn empty() -> Problem {
    Problem::new(ProblemKind::EmptyRequest, "the body holds no event")
}

const WHITE: [char; 4] = [' ', '\n', '\r', '\t'];

fn text(body: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Problem::new(ProblemKind::MalformedJson, format!("not UTF-8: {error}")))?
        .trim_matches(WHITE);
    if text.is_empty() { Err(empty()) } else { Ok(text) }
}

type Read<'a, S, T> = fn(Members<'a, S>, &Context<'_, T>) -> Item;

fn single<'a, S: Shape, T: Types>(
    text: &'a str,
    context: &Context<'_, T>,
    read: Read<'a, S, T>,
) -> Result<Vec<Item>, Problem> {
    match first::<S>(text) {
        Ok((members, end)) if end == text.len() => {
            Ok(vec![context.too_large(end).map_or_else(|| read(members, context), Err)])
        }
        Ok(_) | Err(_) => Err(not_json(text)),
    }
}

fn array<'a, S: Shape, T: Types>(
    text: &'a str,
    context: &Context<'_, T>,
    read: Read<'a, S, T>,
) -> Result<Vec<Item>, Problem> {
    let max = context.limits.max_batch;
    let mut items = Vec::new();
    let mut rest = text.strip_prefix('[').ok_or_else(|| not_an_array(text))?.trim_start_matches(WHITE);
    if let Some(after) = rest.strip_prefix(']') {
        return Err(if after.is_empty() { empty() } else { not_json(text) });
    }
    loop {
        if items.len() == max {
            return Err(too_many(max));
        }
        let (members, end) = first::<S>(rest).map_err(|_| not_json(text))?;
        items.push(context.too_large(end).map_or_else(|| read(members, context), Err));
        rest = rest.get(end..).unwrap_or_default().trim_start_matches(WHITE);
        if let Some(next) = rest.strip_prefix(',') {
            rest = next.trim_start_matches(WHITE);
        } else {
            return if rest == "]" { Ok(items) } else { Err(not_json(text)) };
        }
    }
}

/// Says where the text stops being JSON. Reads it again from the start: positions are then of the whole.
fn not_json(text: &str) -> Problem {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => malformed(&error),
        Ok(IgnoredAny) => Problem::new(ProblemKind::MalformedJson, "not JSON"),
    }
}

fn not_an_array(text: &str) -> Problem {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => malformed(&error),
        Ok(IgnoredAny) => Problem::new(ProblemKind::MalformedJson, "a batch of CloudEvents is a JSON array"),
    }
}

fn too_many(max: usize) -> Problem {
    Problem::new(ProblemKind::BatchTooLarge, format!("a request holds at most {max} events"))
}

fn lines<T: Types>(body: &[u8], context: &Context<'_, T>) -> Result<Vec<Item>, Problem> {
    match std::str::from_utf8(body) {
        // `str::split` searches many bytes at a time; `slice::split` looks at each.
        Ok(text) => collect_lines(text.split('\n').map(Ok), context),
        Err(_) => collect_lines(body.split(|byte| *byte == b'\n').map(std::str::from_utf8), context),
    }
}

fn collect_lines<'a, T: Types>(
    lines: impl Iterator<Item = Result<&'a str, std::str::Utf8Error>>,
    context: &Context<'_, T>,
) -> Result<Vec<Item>, Problem> {
    let max = context.limits.max_batch;
    let mut items = Vec::new();
    for line in lines.map(|line| line.map(|text| text.trim_matches(WHITE))) {
        if line == Ok("") {
            continue;
        }
        if items.len() == max {
            return Err(too_many(max));
        }
        items.push(match line {
            Ok(text) => self::line(text, context),
            Err(error) => Err(Rejection::new(Code::NotJson, None, format!("not UTF-8: {error}"))),
        });
    }
    if items.is_empty() { Err(empty()) } else { Ok(items) }
}

fn line<T: Types>(text: &str, context: &Context<'_, T>) -> Item {
    if let Some(rejection) = context.too_large(text.len()) {
        return Err(rejection);
    }
    match first::<Plain>(text) {
        Ok((members, end)) if end == text.len() => plain(members, context),
        Ok(_) => Err(Rejection::new(Code::NotJson, None, "more than one value on a line")),
        Err(error) => Err(Rejection::new(Code::NotJson, None, error.to_string())),
    }
}

/// The members of an event in the contract's own form.
struct Plain;

impl Shape for Plain {
    const NAMES: &'static [&'static str] = &["id", "accountId", "type", "timestamp", "data"];
    const OPEN: bool = false;
}

fn plain<T: Types>(mut members: Members<'_, Plain>, context: &Context<'_, T>) -> Item {
    let id = members.text(0).and_then(|id| id.map(|id| parse_id(&id)).transpose());
    let mut rest = || {
        members.take_fault().map_or(Ok(()), Err)?;
        Ok(Draft {
            account: members.text(1)?.ok_or_else(|| Rejection::missing("accountId"))?,
            account_field: "accountId",
            type_name: members.text(2)?.ok_or_else(|| Rejection::missing("type"))?,
            time: members.text(3)?,
            time_field: "timestamp",
            data: Cow::Borrowed(object(members.raw(4).ok_or_else(|| Rejection::missing("data"))?)?),
        })
    };
    finish(id, rest(), context)
}

/// An event whose members have the right types.
pub(super) struct Draft<'a> {
    pub account: Cow<'a, str>,
    pub account_field: &'static str,
    pub type_name: Cow<'a, str>,
    pub time: Option<Cow<'a, str>>,
    pub time_field: &'static str,
    pub data: Cow<'a, str>,
}

pub(super) fn parse_id(text: &str) -> Result<EventId, Rejection> {
    let reject = |error| Rejection::new(Code::InvalidId, Some("id"), format!("`id` {error}"));
    EventId::parse(text).map_err(reject)
}

/// `raw` where it is an object that is not too deep.
pub(super) fn object(raw: &str) -> Result<&str, Rejection> {
    if !raw.starts_with('{') {
        return Err(Rejection::wrong_type("data", "an object"));
    }
    if too_deep(raw.as_bytes()) {
        let message = format!("`data` is nested more than {DATA_DEPTH_MAX} levels deep");
        return Err(Rejection::new(Code::DataTooDeep, Some("data"), message));
    }
    Ok(raw)
}

/// Counts brackets first, which costs next to nothing: few events have enough of them to be deep.
fn too_deep(json: &[u8]) -> bool {
    json.chunks(usize::from(u8::MAX)).map(opens).sum::<usize>() > DATA_DEPTH_MAX
        && depth(json) > DATA_DEPTH_MAX
}

/// Opening brackets among at most 255 bytes. In single bytes, so that the compiler makes vectors of them.
fn opens(chunk: &[u8]) -> usize {
    // The two brackets differ in this one bit, and no other byte becomes one by it.
    let is_open = |byte: &u8| u8::from(byte | 0x20 == b'{');
    usize::from(chunk.iter().map(is_open).fold(0, u8::wrapping_add))
}

fn depth(json: &[u8]) -> usize {
    let (mut now, mut most) = (0usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// The last checks, and the envelope. An item's rejection carries its id where that is legible.
pub(super) fn finish<T: Types>(
    id: Result<Option<EventId>, Rejection>,
    draft: Result<Draft<'_>, Rejection>,
    context: &Context<'_, T>,
) -> Item {
    let id = id?;
    let checked = draft.and_then(|draft| check(draft, context));
    match checked {
        Ok((draft, account, type_bit, type_id)) => {
            let id = id.unwrap_or_else(context.new_id);
            let timestamp = match &draft.time {
                Some(time) => time,
                None => context.now_text.get_or_init(|| context.now.to_rfc3339()).as_str(),
            };
            let envelope = Envelope { id: &id, type_id, timestamp, account: &account, data: &draft.data };
            let body = envelope.build();
            Ok(NewEvent { id, account, type_bit, body })
        }
        Err(rejection) => Err(Rejection { id, ..rejection }),
    }
}

type Checked<'d, 'c> = (Draft<'d>, AccountName, TypeBit, &'c str);

fn check<'d, 'c, T: Types>(draft: Draft<'d>, context: &Context<'c, T>) -> Result<Checked<'d, 'c>, Rejection> {
    let field = draft.account_field;
    let account = AccountName::parse(&draft.account)
        .map_err(|error| Rejection::new(Code::InvalidAccountId, Some(field), format!("`{field}` {error}")))?;
    if context.only.is_some_and(|only| *only != account) {
        let message = "the token may write events of its own account only";
        return Err(Rejection::new(Code::ForbiddenAccount, Some(field), message));
    }
    let types: &'c T = context.types;
    let (type_bit, type_id) =
        types.resolve(&draft.type_name).ok_or_else(|| unknown_type(&draft.type_name, types))?;
    if let Some(time) = &draft.time
        && UnixMillis::parse_rfc3339(time).is_none()
    {
        let field = draft.time_field;
        let message =
            format!("`{field}` must be an RFC 3339 time from 1970 on, like 2026-11-23T14:49:00.000Z");
        return Err(Rejection::new(Code::InvalidTimestamp, Some(field), message));
    }
    Ok((draft, account, type_bit, type_id))
}

fn unknown_type<T: Types>(name: &str, types: &T) -> Rejection {
    let hint = types.nearest(name).map(|nearest| format!("; did you mean `{nearest}`?"));
    let message = format!("there is no event type `{}`{}", quote(name), hint.unwrap_or_default());
    Rejection::new(Code::UnknownType, Some("type"), message)
}
