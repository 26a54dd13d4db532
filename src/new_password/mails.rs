//! What people are told by mail, in plain words. A mail never says more than its reader needs, and names no case.

use crate::app::App;
use crate::local_time::Zone;
use crate::mail::Mail;
use crate::model::link::LinkKind;
use crate::model::person::Person;
use crate::registry::links::Issued;

/// The mail with a link; none for somebody without an address.
#[must_use]
pub fn link(app: &App, issued: &Issued) -> Option<Mail> {
    let service = &app.config.server.name;
    let (about, subject, why) = match issued.kind {
        LinkKind::Invitation => (
            "invitation",
            format!("Your invitation to {service}"),
            format!("you are invited to sign in to {service}. Open this link to choose your password:"),
        ),
        LinkKind::NewPassword => (
            "new password",
            format!("A new password for {service}"),
            format!("your administrator has sent you this link to choose a new password for {service}:"),
        ),
        LinkKind::Forgotten => (
            "new password",
            format!("A new password for {service}"),
            format!("somebody, probably you, asked for a new password for {service}. Open this link to choose it:"),
        ),
    };
    let after = match issued.kind {
        LinkKind::Forgotten => {
            "If you did not ask for it, do nothing: your password stays as it is. If this keeps happening, tell your administrator."
        }
        _ => "If you did not expect this mail, tell your administrator.",
    };
    let person = &issued.person;
    let text = format!(
        "Hello {},\n\n{why}\n\n{}\n\nYour username is {}. The link works once, until {}. Nobody else should see it.\n\n{after}\n",
        person.name,
        issued.url.reveal(),
        person.username,
        day_and_time(app, person, issued.expires_at),
    );
    mail(person, about, subject, text)
}

/// Tells that the password was changed, at an address that was proved to be the person's.
pub fn tell_changed(app: &App, person: &Person) {
    let Some(mailer) = app.mailer.as_ref().filter(|_| person.settings.email_verified) else { return };
    let service = &app.config.server.name;
    let text = format!(
        "Hello {},\n\nyour password for {service} was changed on {}. You are signed out everywhere else, and applications \
         that stayed connected will ask you to sign in again.\n\nIf it was not you, call your administrator now.\n",
        person.name,
        day_and_time(app, person, app.now()),
    );
    if let Some(mail) = mail(person, "password changed", format!("Your password for {service} was changed"), text) {
        mailer.post(mail);
    }
}

fn mail(person: &Person, about: &'static str, subject: String, text: String) -> Option<Mail> {
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
fn day_and_time(app: &App, person: &Person, at: i64) -> String {
    Zone::of(&person.settings, &app.config.policy.time_zone).when(at).words
}
