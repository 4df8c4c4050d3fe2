//! The store as it is now, put beside itself for `postrider backup`, which runs on the same machine and
//! copies it from there. Where it stands is the engine's to say: no path comes in over the network.
//!
//! There is one at a time. A backup that was begun before another one fails, and says so.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ports::{Checkpoints, QueryError};
use super::problem::Problem;
use super::state::Admin;

async fn run<T: Send + 'static>(
    admin: &Admin,
    work: impl FnOnce(&dyn Checkpoints) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, Problem> {
    let checkpoints = Arc::clone(&admin.checkpoints);
    let done = tokio::task::spawn_blocking(move || work(&*checkpoints)).await;
    Ok(done.map_err(|_| Problem::internal("the checkpoint ended early"))??)
}

/// With everything that was acknowledged before the request came.
pub async fn make(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let (path, head) = run(&admin, Checkpoints::make).await?;
    Ok((StatusCode::CREATED, Json(json!({"path": path, "head": head.0}))).into_response())
}

pub async fn drop(State(admin): State<Arc<Admin>>) -> Result<StatusCode, Problem> {
    run(&admin, Checkpoints::drop).await?;
    Ok(StatusCode::NO_CONTENT)
}
