//! How a command ends: done, or with why not.

use crate::app::StartError;
use crate::error::Broken;
use crate::registry::Refused;
use crate::registry::apply::ApplyError;

/// Why a command failed, for the one who called it.
#[derive(Debug)]
pub(super) struct CommandRefused(pub(super) String);

/// What a command answers.
pub(super) type Done = Result<(), CommandRefused>;

macro_rules! refused_from {
    ($($error:ty),*) => {
        $(impl From<$error> for CommandRefused {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        })*
    };
}
refused_from!(StartError, Broken, Refused, ApplyError);
