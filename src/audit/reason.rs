//! Why something was refused, as far as it decides anything: what is counted, and how people read it. Events carry it as
//! `reason_code`; the text beside it, `reason`, may be worded anew without any count changing.

use strum::{EnumIter, EnumString, IntoStaticStr};

/// Why something was refused. Its word is that of the counts, so a variant keeps its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// Nobody has the username.
    UnknownUsername,
    /// The password is not the account's.
    WrongPassword,
    /// The one-time code is not the account's.
    WrongCode,
    /// The recovery code is not the account's, or not any more.
    RecoveryCode,
    /// The one-time code was used before.
    UsedCode,
    /// What a passkey answered does not count.
    Passkey,
    /// Too many failures before.
    Locked,
    /// The account or client is disabled.
    Disabled,
    /// The account was not used for too long.
    Dormant,
    /// An agency's provider, or what is registered about it, says no.
    Provider,
    /// Counted over a minute after the first.
    Repeated,
    /// The secret is not the client's, or not any more.
    WrongSecret,
    /// Nobody has the `client_id`.
    UnknownClient,
    /// The client is registered for another way to prove itself.
    WrongMethod,
    /// No registered key signed the assertion.
    UnknownKey,
    /// `jwks_uri` does not answer with keys.
    KeysUnreachable,
    /// `aud` of the assertion names somebody else.
    WrongAudience,
    /// `exp`, `iat` or `nbf` of the assertion do not fit our clock.
    WrongTime,
    /// The `jti` was used before.
    UsedAssertion,
    /// Something else is wrong with the assertion.
    BadAssertion,
    /// `invalid_request` (RFC 6749 §5.2), as the codes below.
    InvalidRequest,
    /// `invalid_client`
    InvalidClient,
    /// `invalid_grant`
    InvalidGrant,
    /// `invalid_scope`
    InvalidScope,
    /// `invalid_target` (RFC 8707 §2)
    InvalidTarget,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// `access_denied`
    AccessDenied,
    /// `temporarily_unavailable`
    TemporarilyUnavailable,
    /// Nothing of this list.
    Other,
}

impl Reason {
    /// The word of the counts and of `reason_code`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// As what it is counted: what people need not tell apart is one.
    pub fn counted(self) -> Self {
        match self {
            Self::UsedCode | Self::RecoveryCode => Self::WrongCode,
            other => other,
        }
    }

    /// In words for the charts.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::UnknownUsername => "Unknown username",
            Self::WrongPassword => "Wrong password",
            Self::WrongCode => "Wrong security code",
            Self::RecoveryCode => "Wrong recovery code",
            Self::UsedCode => "Security code used before",
            Self::Passkey => "Passkey not accepted",
            Self::Locked => "Signing in was paused",
            Self::Disabled => "Disabled",
            Self::Dormant => "Not here for too long",
            Self::Provider => "Refused at an agency's own sign-in",
            Self::Repeated => "Repeated within a minute",
            Self::WrongSecret => "Wrong or ended secret",
            Self::UnknownClient => "Unknown client",
            Self::WrongMethod => "Another way to prove itself than registered",
            Self::UnknownKey => "Signed with a key that is not registered",
            Self::KeysUnreachable => "Its keys could not be fetched",
            Self::WrongAudience => "Assertion meant for another server",
            Self::WrongTime => "Assertion too old, or the clocks differ",
            Self::UsedAssertion => "Assertion used before",
            Self::BadAssertion => "Assertion not valid",
            Self::InvalidRequest => "Malformed request",
            Self::InvalidClient => "Client not accepted",
            Self::InvalidGrant => "Code or refresh token not valid any more",
            Self::InvalidScope => "Asked for more than it may",
            Self::InvalidTarget => "Named another resource server than its own",
            Self::UnauthorizedClient => "Not allowed to ask in this way",
            Self::UnsupportedGrantType => "Unknown way to ask",
            Self::AccessDenied => "The person may not do this",
            Self::TemporarilyUnavailable => "Too many tries, or the server was busy",
            Self::Other => "Another reason",
        }
    }
}

/// A reason, and how the record says it.
pub type Why = (Reason, &'static str);
