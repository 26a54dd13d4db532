//! What is done with a registration as a whole: it is disabled, enabled or deleted. Each is asked first, on a page that
//! says what it affects.

use super::access::Requires;
use crate::policy::console::Area;

/// What may be done, by the last part of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// It gets nothing any more, and can be enabled again.
    Disable,
    /// It gets what it got before.
    Enable,
    /// It goes for good.
    Delete,
}

impl Lifecycle {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Disable, Self::Enable, Self::Delete];

    /// The last part of its address.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
        }
    }

    /// What its button says.
    pub fn button(self) -> &'static str {
        match self {
            Self::Disable => "Disable",
            Self::Enable => "Enable",
            Self::Delete => "Delete",
        }
    }

    /// What ends something is not held up; what opens something wants a fresh sign-in.
    pub fn requires(self, area: Area) -> Requires {
        let requires = Requires::change(area);
        if self == Self::Enable {
            requires.recent()
        } else {
            requires
        }
    }
}
