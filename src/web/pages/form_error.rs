//! What is wrong with a form, in words that are fixed here.

/// What is wrong with a form: shown in the summary at the top, which links to the field, and beside the field
/// unless it concerns the form as a whole. The texts are fixed here, so that none tells more than another
/// about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormError {
    pub(super) field: &'static str,
    pub(super) text: &'static str,
    pub(super) whole_form: bool,
}

impl FormError {
    /// The username was left empty.
    pub const USERNAME_MISSING: Self = Self::field("username", "Enter your username");
    /// The password was left empty.
    pub const PASSWORD_MISSING: Self = Self::field("password", "Enter your password");
    /// Wrong username or password, or a locked or disabled account: one text for all.
    pub const NOT_ACCEPTED: Self =
        Self::sign_in("We could not sign you in. Check your username and password");
    /// Too many wrong security codes; the password was right.
    pub const CODES_EXHAUSTED: Self = Self::sign_in(
        "There were too many wrong security codes. Wait a while, or ask your administrator, then sign in again",
    );
    /// The second factor came too late for a sign-in that has to be fresh.
    pub const SECOND_FACTOR_LATE: Self = Self::sign_in(
        "This sign-in has to be finished within 2 minutes. Sign in once more, with your code or passkey at hand",
    );
    /// Too many attempts from this network address.
    pub const TOO_MANY_ATTEMPTS: Self =
        Self::sign_in("There were too many attempts. Wait a minute, then try again");
    /// The agency's identity provider does not answer.
    pub const PROVIDER_SILENT: Self = Self::sign_in(
        "Your agency’s sign-in does not answer just now. Sign in with your username and password, or try again in a minute",
    );
    /// The person turned back at the agency's identity provider.
    pub const PROVIDER_DENIED: Self =
        Self::sign_in("You did not finish signing in with your agency. Try again");
    /// What the agency's identity provider said is not accepted, or leads to no account: one text for all.
    pub const PROVIDER_NOT_ACCEPTED: Self = Self::sign_in(
        "We could not sign you in with your agency’s account. Ask your administrator whether it is set up for this service",
    );
    /// The agency's identity provider does not ask anew who somebody is, which is wanted.
    pub const PROVIDER_CANNOT_CONFIRM: Self = Self::sign_in(
        "This needs a sign-in made just now, and your agency’s sign-in cannot confirm that. Sign in with your username and password for this service, or ask your administrator for one",
    );
    /// The code was left empty.
    pub const CODE_MISSING: Self = Self::field("totp", "Enter the 6 digits from your authenticator app");
    /// Nothing was chosen.
    pub const CHOICE_MISSING: Self = Self::field("choice-app", "Choose one of the two");
    /// A wrong code while an app is set up.
    pub const NEW_CODE_NOT_ACCEPTED: Self = Self::field(
        "totp",
        "That code was not accepted. Enter the code that the app shows now for the account you have just added",
    );
    /// The recovery code was left empty.
    pub const RECOVERY_CODE_MISSING: Self = Self::field("recovery_code", "Enter one of your recovery codes");
    /// A wrong recovery code, or one that was used before.
    pub const RECOVERY_CODE_NOT_ACCEPTED: Self = Self::field(
        "recovery_code",
        "That code was not accepted. Each recovery code works once: enter another one",
    );
    /// A wrong code, or one that was used before.
    pub const CODE_NOT_ACCEPTED: Self = Self::field(
        "totp",
        "That code was not accepted. Wait for the next one, then enter it",
    );
    /// The page was open for too long.
    pub const PAGE_STALE: Self = Self::whole(
        "username",
        "This page was open for a long time, so what you entered was not sent. Sign in now",
    );
    /// The page was open for too long for a passkey.
    pub const PASSKEY_STALE: Self = Self::whole(
        "passkey-submit",
        "This page was open for a while. Use your passkey now",
    );
    /// A passkey that is unknown or does not count, or an account that may not sign in: one text for all.
    pub const PASSKEY_NOT_ACCEPTED: Self = Self::whole(
        "passkey-submit",
        "We could not accept that passkey. Try again, or use another way to sign in",
    );
    /// A passkey that cannot be added.
    pub const PASSKEY_NOT_ADDED: Self = Self::whole(
        "passkey-submit",
        "That passkey could not be added. Try again, or use another device",
    );
    /// The name of a passkey is missing or too long.
    pub const PASSKEY_NAME: Self = Self::field("name", "Enter a name of 1 to 60 characters");

    const fn field(field: &'static str, text: &'static str) -> Self {
        Self {
            field,
            text,
            whole_form: false,
        }
    }

    const fn sign_in(text: &'static str) -> Self {
        Self::whole("username", text)
    }

    const fn whole(field: &'static str, text: &'static str) -> Self {
        Self {
            field,
            text,
            whole_form: true,
        }
    }
}

/// For the templates: marks a field whose value is to be corrected.
pub(super) fn has_error(errors: &[FormError], field: &str) -> bool {
    errors
        .iter()
        .any(|error| error.field == field && !error.whole_form)
}
