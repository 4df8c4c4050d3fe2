//! Every operation of the API, in the order of `routes.rs`.

use serde_json::{Value, json};

use super::reference;

pub const TAGS: [(&str, &str); 8] = [
    ("Event types", "What can be subscribed to."),
    ("Accounts", "Accounts and what is turned on for them: the operator's."),
    ("Tokens", "Who may speak to this API."),
    ("Subscriptions", "Where events go, and how."),
    ("Deliveries", "What became of each event at each subscription."),
    ("Events", "What came in."),
    ("Audit", "Who changed what, and when."),
    ("Engine", "The engine itself."),
];

/// The refusals of whatever has a body.
pub const BODY_REFUSALS: [(u16, &str); 4] = [
    (400, "The body is not JSON, or did not arrive whole."),
    (413, "The body is larger than 256 KiB."),
    (415, "The content type is not application/json."),
    (422, "The body does not say what it must; `errors` names each field."),
];

/// What is asked of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    Token,
    Operate,
    Read,
    Manage,
}

impl Needs {
    pub fn words(self) -> &'static str {
        match self {
            Self::Nothing => "Needs no token.",
            Self::Token => "For whoever has a token.",
            Self::Operate => "For the operator.",
            Self::Read => "For everybody of the account.",
            Self::Manage => {
                "For the operator, and for Account Owners of the account with a Platform User licence."
            }
        }
    }
}

/// The body of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Empty,
    /// The schema of this name.
    One(&'static str),
    /// A page of them.
    Page(&'static str),
    AnyObject,
    Stream,
}

impl Answer {
    pub fn media(self) -> Option<Value> {
        let schema = match self {
            Self::Empty => return None,
            Self::One(name) => reference(name),
            Self::Page(name) => json!({
                "type": "object",
                "required": ["items", "next"],
                "properties": {
                    "items": {"type": "array", "items": reference(name)},
                    "next": {"type": ["string", "null"], "description": "The cursor of the next page; null at the end."},
                },
            }),
            Self::AnyObject => json!({"type": "object"}),
            Self::Stream => return Some(json!({"text/event-stream": {"schema": {"type": "string"}}})),
        };
        Some(json!({"application/json": {"schema": schema}}))
    }
}

/// One method of one path.
#[derive(Debug)]
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub tag: &'static str,
    pub id: &'static str,
    pub summary: &'static str,
    pub about: &'static str,
    pub needs: Needs,
    pub query: Vec<&'static str>,
    pub headers: Vec<&'static str>,
    /// The schema's name, and whether there must be one.
    pub body: Option<(&'static str, bool)>,
    pub answers: Vec<(u16, &'static str, Answer)>,
    pub answer_headers: Vec<&'static str>,
    pub refusals: Vec<(u16, &'static str)>,
}

impl Operation {
    fn new(
        route: &'static str,
        tag: &'static str,
        id: &'static str,
        needs: Needs,
        summary: &'static str,
    ) -> Self {
        let (method, path) = route.split_once(' ').unwrap_or(("GET", route));
        let headers = if method == "POST" { vec!["Idempotency-Key"] } else { Vec::new() };
        Self {
            method,
            path,
            tag,
            id,
            summary,
            about: "",
            needs,
            query: Vec::new(),
            headers,
            body: None,
            answers: Vec::new(),
            answer_headers: Vec::new(),
            refusals: Vec::new(),
        }
    }

    fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    fn query(mut self, names: &[&'static str]) -> Self {
        self.query.extend(names);
        self
    }

    fn header(mut self, name: &'static str) -> Self {
        self.headers.push(name);
        self
    }

    fn body(self, schema: &'static str) -> Self {
        Self { body: Some((schema, true)), ..self }
    }

    fn optional_body(self, schema: &'static str) -> Self {
        Self { body: Some((schema, false)), ..self }
    }

    fn ok(mut self, status: u16, about: &'static str, answer: Answer) -> Self {
        self.answers.push((status, about, answer));
        self
    }

    /// A list: its page, and the parameters that go through it.
    fn list(self, item: &'static str) -> Self {
        self.query(&["limit", "cursor"]).ok(200, "A page of the list.", Answer::Page(item))
    }

    fn gives(mut self, headers: &[&'static str]) -> Self {
        self.answer_headers.extend(headers);
        self
    }

    fn refuses(mut self, status: u16, about: &'static str) -> Self {
        self.refusals.push((status, about));
        self
    }
}

pub fn all() -> Vec<Operation> {
    let mut all = engine_wide();
    all.extend(accounts());
    all.extend(subscriptions());
    all.extend(deliveries());
    all
}

fn engine_wide() -> Vec<Operation> {
    use Needs::{Nothing, Operate, Token};
    let op = Operation::new;
    vec![
        op("GET /openapi.json", "Engine", "describeApi", Nothing, "This description").ok(
            200,
            "The OpenAPI document.",
            Answer::AnyObject,
        ),
        op("GET /event-types", "Event types", "listEventTypes", Token, "List event types")
            .query(&["operational"])
            .list("EventType"),
        op("GET /event-types/{type}", "Event types", "getEventType", Token, "Show an event type").ok(
            200,
            "The event type.",
            Answer::One("EventType"),
        ),
        op("GET /me", "Tokens", "getMe", Token, "Show whose token this is")
            .ok(200, "Who asks.", Answer::One("Me"))
            .refuses(404, "The token's account is gone."),
        op("GET /overview", "Engine", "getOverview", Operate, "Show how the engine does")
            .about("From memory: nothing is scanned.")
            .ok(200, "How it does now and has done for three minutes.", Answer::One("Overview")),
        op("POST /checkpoint", "Engine", "makeCheckpoint", Operate, "Make a checkpoint of the store")
            .about("For `postrider backup`, which runs on the same machine. There is one at a time.")
            .ok(201, "It is there.", Answer::One("Checkpoint")),
        op("DELETE /checkpoint", "Engine", "dropCheckpoint", Operate, "Drop the checkpoint").ok(
            204,
            "It is gone.",
            Answer::Empty,
        ),
        op("GET /audit", "Audit", "listAuditTrail", Operate, "List all changes, newest first")
            .query(&["since", "until", "action"])
            .list("AuditEntry"),
    ]
}

fn accounts() -> Vec<Operation> {
    use Needs::{Manage, Operate};
    let op = Operation::new;
    vec![
        op(
            "GET /accounts/{account}/audit",
            "Audit",
            "listAccountAuditTrail",
            Manage,
            "List an account's changes, newest first",
        )
        .query(&["since", "until", "action"])
        .list("AuditEntry"),
        op("GET /accounts", "Accounts", "listAccounts", Operate, "List accounts").list("Account"),
        op("GET /accounts/{account}", "Accounts", "getAccount", Operate, "Show an account").ok(
            200,
            "The account.",
            Answer::One("Account"),
        ),
        op("PUT /accounts/{account}", "Accounts", "putAccount", Operate, "Make an account, or name it anew")
            .about("Accounts are also made by their first event or subscription.")
            .optional_body("AccountPut")
            .ok(200, "It was there.", Answer::One("Account"))
            .ok(201, "It was made.", Answer::One("Account")),
        op(
            "DELETE /accounts/{account}",
            "Accounts",
            "deleteAccount",
            Operate,
            "Delete an account and all that is its",
        )
        .ok(204, "It is gone; nothing is sent for it any more.", Answer::Empty),
        op(
            "GET /accounts/{account}/features",
            "Accounts",
            "listFeatures",
            Operate,
            "List an account's feature flags",
        )
        .ok(200, "All flags.", Answer::Page("Feature")),
        op(
            "PUT /accounts/{account}/features/{flag}",
            "Accounts",
            "setFeature",
            Operate,
            "Turn a feature on or off",
        )
        .body("FeaturePut")
        .ok(200, "The flag as it is now.", Answer::One("Feature")),
        op("GET /accounts/{account}/tokens", "Tokens", "listTokens", Manage, "List tokens").list("Token"),
        op("POST /accounts/{account}/tokens", "Tokens", "createToken", Manage, "Make a token")
            .about("The token itself is in this answer and never again.")
            .body("TokenDraft")
            .ok(201, "It was made.", Answer::One("NewToken"))
            .gives(&["Location"]),
        op("DELETE /accounts/{account}/tokens/{token}", "Tokens", "deleteToken", Manage, "Take a token back")
            .ok(204, "It is no longer valid.", Answer::Empty),
    ]
}

fn subscriptions() -> Vec<Operation> {
    use Needs::{Manage, Read};
    let op = Operation::new;
    let tag = "Subscriptions";
    vec![
        op("GET /accounts/{account}/subscriptions", tag, "listSubscriptions", Read, "List subscriptions").list("Subscription"),
        op("POST /accounts/{account}/subscriptions", tag, "createSubscription", Manage, "Create a subscription")
            .about("Events that are accepted from now on are sent to it.")
            .body("SubscriptionDraft")
            .ok(201, "It was made.", Answer::One("Subscription"))
            .gives(&["Location", "ETag"]),
        op("POST /accounts/{account}/subscriptions:test-filter", tag, "testFilter", Read, "Try a payload filter")
            .about("Whether an event fulfils a filter: the whole `event`, or one of `type`, with the type's sample where `data` is left out. Nothing is stored or sent.")
            .body("FilterTest")
            .ok(200, "The verdict.", Answer::One("FilterVerdict")),
        op("GET /accounts/{account}/subscriptions/{subscription}", tag, "getSubscription", Read, "Show a subscription")
            .ok(200, "The subscription.", Answer::One("Subscription"))
            .gives(&["ETag"]),
        op("PATCH /accounts/{account}/subscriptions/{subscription}", tag, "patchSubscription", Manage, "Change a subscription")
            .about("A merge patch (RFC 7396): what is absent stays, `null` means back to the default. A masked value that is sent back keeps the stored one.")
            .header("If-Match")
            .body("SubscriptionPatch")
            .ok(200, "The subscription as it is now.", Answer::One("Subscription"))
            .gives(&["ETag"]),
        op("DELETE /accounts/{account}/subscriptions/{subscription}", tag, "deleteSubscription", Manage, "Delete a subscription")
            .about("Its retries are dropped, and nothing is sent to it after the answer. With it go its deliveries, their attempts and its charts: to keep them and have nothing sent, set its status to inactive. Events stay.")
            .header("If-Match")
            .ok(204, "It is gone.", Answer::Empty),
        op("GET /accounts/{account}/subscriptions/{subscription}/secret", tag, "getSecret", Manage, "Show the signing secret")
            .ok(200, "The secret.", Answer::One("Secret")),
        op("POST /accounts/{account}/subscriptions/{subscription}/secret/rotate", tag, "rotateSecret", Manage, "Rotate the signing secret")
            .about("The old secret signs beside the new one until the overlap ends.")
            .header("If-Match")
            .optional_body("SecretRotation")
            .ok(200, "The new secret.", Answer::One("Secret")),
        op("POST /accounts/{account}/subscriptions/{subscription}/resend", tag, "resendDelivery", Manage, "Send an event once more")
            .body("Resend")
            .ok(202, "It is sent again.", Answer::One("Resent")),
        op("POST /accounts/{account}/subscriptions/{subscription}/test", tag, "sendTestEvent", Manage, "Send a test event now")
            .about("The type's sample, really sent and signed, once. The answer has the attempt, also where the receiver failed.")
            .optional_body("TestEvent")
            .ok(200, "The attempt.", Answer::One("Attempt")),
    ]
}

fn deliveries() -> Vec<Operation> {
    use Needs::Read;
    let op = Operation::new;
    vec![
        op("POST /accounts/{account}/subscriptions/{subscription}/recover", "Deliveries", "recoverDeliveries", Needs::Manage, "Make missed deliveries again")
            .about("Without `dryRun` a job begins. `ratePerSecond` is what it hands over at most: the receiver, the subscription's own limits and other jobs can make it less.")
            .body("Recover")
            .ok(200, "What a dry run finds.", Answer::One("Matched"))
            .ok(202, "The job that does it.", Answer::One("Job")),
        op("GET /accounts/{account}/subscriptions/{subscription}/stats", "Deliveries", "getStats", Read, "Show success, failure and delay over time")
            .about("In steps of equal length, empty ones included: the last day without `since`, at most 92 days and 2,016 steps. Counts are attempts; a delivery that is made again by hand has no delay. Where more than 131,072 subscriptions are attempted within five minutes, what is left out is counted in the metric `postrider_rollups_left_out_total`.")
            .query(&["since", "until", "step"])
            .ok(200, "The steps, oldest first.", Answer::One("Stats")),
        op("GET /accounts/{account}/jobs", "Deliveries", "listJobs", Read, "List jobs").list("Job"),
        op("GET /accounts/{account}/jobs/{job}", "Deliveries", "getJob", Read, "Show a job")
            .ok(200, "The job.", Answer::One("Job")),
        op("DELETE /accounts/{account}/jobs/{job}", "Deliveries", "cancelJob", Needs::Manage, "Cancel a job")
            .about("Nothing more is handed over. What was already, at most 512 deliveries, is still attempted.")
            .ok(200, "The job as it is now.", Answer::One("Job")),
        op(
            "GET /accounts/{account}/subscriptions/{subscription}/deliveries/{event}/attempts",
            "Deliveries",
            "listAttempts",
            Read,
            "List the attempts of a delivery",
        )
        .list("Attempt"),
        op("GET /accounts/{account}/deliveries", "Deliveries", "listDeliveries", Read, "List deliveries, newest first")
            .query(&["subscriptionId", "eventId", "type", "status", "since", "until"])
            .list("Delivery"),
        op("GET /accounts/{account}/deliveries/stream", "Deliveries", "streamAttempts", Read, "Watch attempts as they happen")
            .about("Server-sent events: `attempt` for each attempt, `gap` where some were left out because the reader was too slow.")
            .query(&["subscriptionId"])
            .ok(200, "A stream without an end.", Answer::Stream),
        op("GET /accounts/{account}/events", "Events", "listEvents", Read, "List events, newest first")
            .query(&["type", "since", "until"])
            .list("EventSummary"),
        op("GET /accounts/{account}/events/{event}", "Events", "getEvent", Read, "Show an event with its data")
            .ok(200, "The event.", Answer::One("Event")),
    ]
}
