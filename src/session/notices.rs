//! What people are told by mail about their own account, in plain words, so that they notice what was not them (NIST SP
//! 800-63B-4 §4.1.2, §4.2). It goes to an address that was proved to be the person's and holds no link: nobody is to
//! learn to follow one.

use crate::app::App;
use crate::clock::local_time::Zone;
use crate::model::person::Person;
use crate::outbound::mail::Mail;

/// What a new password leaves as it was.
pub const CHECK_THE_REST: &str = "A new password does not change your passkeys and your authenticator app: check under “My access” that they are all yours, and remove what is not.";

/// What happened to the second factors of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondFactor {
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed.
    PasskeyRemoved,
    /// An authenticator app was set up where there was none.
    AppAdded,
    /// Another authenticator app took the place of the one before.
    AppReplaced,
    /// The authenticator app was removed.
    AppRemoved,
    /// New recovery codes took the place of those before.
    RecoveryCodesMade,
    /// Somebody signed in with a recovery code.
    RecoveryCodeUsed,
}

impl SecondFactor {
    fn in_words(self) -> &'static str {
        match self {
            Self::PasskeyAdded => "A passkey was added to your account",
            Self::PasskeyRemoved => "A passkey was removed from your account",
            Self::AppAdded => "An authenticator app was added to your account",
            Self::AppReplaced => "The authenticator app of your account was replaced",
            Self::AppRemoved => "The authenticator app was removed from your account",
            Self::RecoveryCodesMade => "New recovery codes were made for your account",
            Self::RecoveryCodeUsed => "A recovery code was used to sign in to your account",
        }
    }
}

/// What somebody else did to an account, at the console or by the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountChange {
    /// Other roles.
    Roles,
    /// The second factors are gone.
    FactorsReset,
    /// It was disabled, and is not any more.
    Enabled,
    /// Another address, told to the one that it was, or that counts no more.
    Address,
    /// Another address, told to the one that it is now, though nobody has confirmed it.
    NewAddress,
    /// A link with which a password is chosen.
    Link,
}

impl AccountChange {
    fn in_words(self) -> &'static str {
        match self {
            Self::Roles => "The roles of your account were changed",
            Self::FactorsReset => "The second factors of your account were removed",
            Self::Enabled => "Your account was enabled again",
            Self::Address | Self::NewAddress => "The e-mail address of your account was changed",
            Self::Link => "A link was made with which a password for your account can be chosen",
        }
    }
}

/// Whether an account has an address that its person can confirm by a link that is mailed there.
pub fn can_confirm(app: &App, person: &Person) -> bool {
    app.mailer.is_some() && person.settings.email.is_some() && !person.settings.email_verified
}

/// The mail that tells somebody what an administrator did to the account. An address that was not proved is told only that
/// it is the account's now, and how it is confirmed. To be posted when it is written.
pub fn account_changed(app: &App, person: &Person, what: AccountChange) -> Option<Mail> {
    let proved = person.settings.email_verified;
    if !proved && what != AccountChange::NewAddress {
        return None;
    }
    let (service, what) = (&app.config.server.name, what.in_words());
    let expected = if proved {
        "there is nothing to do"
    } else {
        "sign in, open “My access”, and confirm this address. Until then, nothing else is sent here"
    };
    let text = format!(
        "Hello {},\n\nthis is about your account for {service}.\n\n{what} by an administrator on {}.\n\nIf you expected \
         this, {expected}. If not, call your administrator now.\n",
        person.name,
        day_and_time(app, person, app.now()),
    );
    mail(person, "account changed", format!("{service}: {what}"), text)
}

/// Tells what happened to a second factor. To be called when it is written; it never waits.
pub fn second_factor_changed(app: &App, person: &Person, what: SecondFactor) {
    let (service, what) = (&app.config.server.name, what.in_words());
    let text = format!(
        "Hello {},\n\nthis is about your account for {service}.\n\n{what} on {}.\n\nIf it was you, there is nothing to \
         do.\n\nIf it was not you, somebody else may be able to sign in as you: call your administrator now. If you can \
         still sign in, open \"My access\", remove the passkeys and the authenticator app that are not yours, sign out \
         everywhere, and change your password.\n",
        person.name,
        day_and_time(app, person, app.now()),
    );
    post(
        app,
        person,
        "second factor changed",
        format!("{service}: {what}"),
        text,
    );
}

/// Tells that the password was changed. `has_passkey`: whether the person has one.
pub fn password_changed(app: &App, person: &Person, has_passkey: bool) {
    let service = &app.config.server.name;
    let rest = if person.has_second_factor(has_passkey) {
        format!("\n\n{CHECK_THE_REST}")
    } else {
        String::new()
    };
    let text = format!(
        "Hello {},\n\nyour password for {service} was changed on {}. You are signed out everywhere else, and applications \
         that stayed connected will ask you to sign in again.{rest}\n\nIf it was not you, call your administrator now.\n",
        person.name,
        day_and_time(app, person, app.now()),
    );
    post(
        app,
        person,
        "password changed",
        format!("Your password for {service} was changed"),
        text,
    );
}

fn post(app: &App, person: &Person, about: &'static str, subject: String, text: String) {
    let Some(mailer) = app.mailer.as_ref().filter(|_| person.settings.email_verified) else {
        return;
    };
    if let Some(mail) = mail(person, about, subject, text) {
        mailer.post(mail);
    }
}

/// A mail to a person; none for somebody without an address.
pub fn mail(person: &Person, about: &'static str, subject: String, text: String) -> Option<Mail> {
    Some(Mail {
        person_id: person.id.clone(),
        name: person.name.clone(),
        address: person.settings.email.clone()?,
        about,
        subject,
        text,
    })
}

/// In the person's time zone, or else the installation's.
pub fn day_and_time(app: &App, person: &Person, at: i64) -> String {
    Zone::of(&person.settings, &app.config.policy.time_zone)
        .when(at)
        .words
}
