//! A page of a list: `{"items":[…],"next":"…"|null}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::query::cursor_text;

#[derive(Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Everything there is.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// The first `limit` of `source`, made into items by `view`; `cursor` names the last of them.
    pub fn take<S>(
        source: impl Iterator<Item = S>,
        limit: usize,
        view: impl Fn(&S) -> T,
        cursor: impl Fn(&S) -> String,
    ) -> Self {
        let mut taken: Vec<S> = source.take(limit.saturating_add(1)).collect();
        let more = taken.len() > limit;
        taken.truncate(limit);
        let next = taken.last().filter(|_| more).map(|last| cursor_text(&cursor(last)));
        Self { items: taken.iter().map(view).collect(), next }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
