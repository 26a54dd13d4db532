//! A one-time link: whoever has it may, once, choose the password of one account, or prove that its mail arrives.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LinkKind {
    /// A new account: an administrator invites its person.
    Invitation,
    /// An administrator lets the person choose a new password.
    NewPassword,
    /// The person asked for it and gets it by mail.
    Forgotten,
    /// The person proves that mail to the account's address arrives.
    Address,
}

impl LinkKind {
    /// All of them.
    pub const ALL: &'static [Self] = Self::VARIANTS;
    /// Those that set a password.
    pub const PASSWORD: &'static [Self] = &[Self::Invitation, Self::NewPassword, Self::Forgotten];

    /// The name in the database and the record.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Reads [`LinkKind::as_str`].
    pub fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    /// Where the link leads; its secret follows.
    pub fn path(self) -> &'static str {
        match self {
            Self::Invitation => "/invitation/",
            Self::NewPassword | Self::Forgotten => "/new-password/",
            Self::Address => "/account/email/",
        }
    }
}

/// A link as the database keeps it: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// SHA-256 of the secret.
    pub hash: String,
    /// What it is for.
    pub kind: LinkKind,
    /// Whose account it is about.
    pub person_id: String,
    /// The person's generation when it was made: another one ends it.
    pub person_generation: i64,
    /// When it was made, in seconds since the epoch.
    pub created_at: i64,
    /// When it ends, or was replaced by a newer one.
    pub expires_at: i64,
    /// When it was used.
    pub used_at: Option<i64>,
}
