//! Links (OpenAPI 3.1 §4.8.20): which operations an answer leads to, and what of it fills their paths. Tools
//! that explore an API follow them.

use serde_json::{Map, Value, json};

/// From an operation's answer: what the parameters are there, and the operations that take just these.
struct Link {
    from: &'static str,
    status: u16,
    parameters: &'static [(&'static str, &'static str)],
    to: &'static [&'static str],
}

const ACCOUNT: (&str, &str) = ("account", "$request.path.account");
const OF_ACCOUNT: &[&str] =
    &["getAccount", "listSubscriptions", "createSubscription", "createToken", "deleteAccount"];

const LINKS: &[Link] = &[
    Link { from: "putAccount", status: 200, parameters: &[ACCOUNT], to: OF_ACCOUNT },
    Link { from: "putAccount", status: 201, parameters: &[ACCOUNT], to: OF_ACCOUNT },
    Link {
        from: "createSubscription",
        status: 201,
        parameters: &[ACCOUNT, ("subscription", "$response.body#/id")],
        to: &[
            "getSubscription",
            "patchSubscription",
            "getSecret",
            "rotateSecret",
            "sendTestEvent",
            "getStats",
            "recoverDeliveries",
            "deleteSubscription",
        ],
    },
    Link {
        from: "createToken",
        status: 201,
        parameters: &[ACCOUNT, ("token", "$response.body#/id")],
        to: &["deleteToken"],
    },
    Link {
        from: "recoverDeliveries",
        status: 202,
        parameters: &[ACCOUNT, ("job", "$response.body#/id")],
        to: &["getJob", "cancelJob"],
    },
    Link {
        from: "resendDelivery",
        status: 202,
        parameters: &[
            ACCOUNT,
            ("subscription", "$response.body#/subscriptionId"),
            ("event", "$response.body#/eventId"),
        ],
        to: &["listAttempts"],
    },
    Link {
        from: "listDeliveries",
        status: 200,
        parameters: &[
            ACCOUNT,
            ("subscription", "$response.body#/items/0/subscriptionId"),
            ("event", "$response.body#/items/0/eventId"),
        ],
        to: &["listAttempts"],
    },
    Link {
        from: "listEvents",
        status: 200,
        parameters: &[ACCOUNT, ("event", "$response.body#/items/0/id")],
        to: &["getEvent"],
    },
    Link {
        from: "listEventTypes",
        status: 200,
        parameters: &[("type", "$response.body#/items/0/id")],
        to: &["getEventType"],
    },
];

/// Of one answer; `None` where it leads nowhere.
pub(super) fn of(operation: &str, status: u16) -> Option<Value> {
    let mut links = Map::new();
    for link in LINKS.iter().filter(|link| link.from == operation && link.status == status) {
        let parameters: Map<String, Value> =
            link.parameters.iter().map(|(name, from)| ((*name).to_owned(), json!(from))).collect();
        for id in link.to {
            links.insert((*id).to_owned(), json!({"operationId": id, "parameters": parameters}));
        }
    }
    (!links.is_empty()).then_some(Value::Object(links))
}
