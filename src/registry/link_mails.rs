//! The mails that carry a link, in plain words. A mail never says more than its reader needs, and names no case.

use crate::app::App;
use crate::model::link::LinkKind;
use crate::outbound::mail::Mail;
use crate::registry::links::Issued;
use crate::session::notices::{day_and_time, mail};

/// The mail with a link; none for somebody without an address.
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
            format!(
                "somebody, probably you, asked for a new password for {service}. Open this link to choose it:"
            ),
        ),
        LinkKind::Address => (
            "address",
            format!("Confirm your e-mail address for {service}"),
            format!(
                "you asked to confirm that this address is yours. Open this link, and sign in to {service} if you are asked to:"
            ),
        ),
    };
    let after = match issued.kind {
        LinkKind::Forgotten => {
            "If you did not ask for it, do nothing: your password stays as it is. If this keeps happening, tell your administrator."
        }
        LinkKind::Address => {
            "If you did not ask for it, tell your administrator: somebody may be using your account."
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
