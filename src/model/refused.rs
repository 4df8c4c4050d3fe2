//! Why the engine took nothing of a request: one word for it on both sides of the log's boundary.

/// Why nothing of a request was taken. All of them may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the engine's queue is full")]
    QueueFull,
    #[error("the disk is below its reserve")]
    DiskReserve,
    #[error("the store cannot write: {0}")]
    Store(String),
    #[error("the engine is stopping")]
    Stopping,
}
