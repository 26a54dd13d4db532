//! Why a job of the store failed, and how that is told to whoever asked for it.

use std::fmt;

use crate::error::Broken;

/// Why a job failed. It means: roll back. A refusal that must leave a trace is an `Ok` value.
#[derive(Debug, thiserror::Error)]
pub enum StoreBroken {
    /// What the database said.
    #[error("database: {0}")]
    Database(#[from] diesel::result::Error),
    /// What the database holds makes no sense.
    #[error("defect: {0}")]
    Defect(String),
}

impl StoreBroken {
    /// Stored data that cannot be read back.
    pub fn stored(what: &str, cause: impl fmt::Display) -> Self {
        Self::Defect(format!("stored {what} cannot be read: {cause}"))
    }
}

impl From<StoreBroken> for Broken {
    fn from(failure: StoreBroken) -> Self {
        use diesel::result::{DatabaseErrorKind, Error};
        match &failure {
            StoreBroken::Database(Error::DatabaseError(kind, information)) => match kind {
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::CheckViolation => Self::Defect(failure.to_string()),
                DatabaseErrorKind::Unknown if !is_passing(information.message()) => {
                    Self::Defect(failure.to_string())
                }
                _ => Self::Unavailable(information.message().to_owned()),
            },
            StoreBroken::Database(Error::BrokenTransactionManager | Error::RollbackErrorOnCommit { .. }) => {
                Self::Unavailable(failure.to_string())
            }
            _ => Self::Defect(failure.to_string()),
        }
    }
}

/// Locked, full, read-only, connection lost: the data is sound, the moment is not. Neither library tells these apart
/// from a missing table otherwise.
fn is_passing(message: &str) -> bool {
    const PASSING: [&str; 13] = [
        "locked",
        "busy",
        "full",
        "disk",
        "readonly",
        "read-only",
        "unable to open",
        "connection",
        "closed",
        "communicating",
        "timeout",
        "shutting down",
        "starting up",
    ];
    let message = message.to_lowercase();
    PASSING.iter().any(|word| message.contains(word))
}

/// What every store function answers.
pub type Stored<T> = Result<T, StoreBroken>;
