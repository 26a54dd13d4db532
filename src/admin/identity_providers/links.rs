//! `/admin/identity-providers/{id}/link` and `/unlink`: whose account somebody opens who signs in there.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use crate::admin::access::{AdminRequest, Answered, Frame, done};
use crate::admin::confirm::ConfirmPage;
use crate::admin::form::{FieldMistake, Typed};
use crate::admin::noun::managed::{found, path_of};
use crate::admin::people;
use crate::error::PageError;
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings};
use crate::model::person::Person;
use crate::policy::console::Area;
use crate::registry::{Refused, identity_providers};
use crate::store::{identity_providers as stored, people as stored_people};
use crate::web::browser::PostedForm;
use crate::web::guard::PageRefused;
use crate::web::pages::{self, FormAction, Shell};

const FIELDS: [&str; 2] = ["username", "subject"];

#[derive(Template)]
#[template(path = "../admin/identity_link.html")]
struct LinkPage<'a> {
    shell: Shell<'a>,
    frame: Frame<'a>,
    provider: &'a IdentityProvider,
    path: String,
    typed: Typed,
    wrong: Vec<FieldMistake>,
}

/// `GET /admin/identity-providers/{id}/link`
pub async fn get(admin: AdminRequest) -> Answered {
    let provider = found::<IdentityProviderSettings>(&admin).await?;
    Ok(show(&admin, &provider, Typed::default(), Vec::new()))
}

fn show(
    admin: &AdminRequest,
    provider: &IdentityProvider,
    typed: Typed,
    wrong: Vec<FieldMistake>,
) -> HttpResponse {
    let status = FieldMistake::status(&wrong);
    let page = LinkPage {
        shell: admin.shell(),
        frame: admin.frame(Area::IdentityProviders),
        provider,
        path: path_of::<IdentityProviderSettings>(&provider.id),
        typed,
        wrong,
    };
    pages::respond(&page, status, FormAction::SelfOnly)
}

/// `POST /admin/identity-providers/{id}/link`
pub async fn post(admin: AdminRequest, form: PostedForm) -> Answered {
    let provider = found::<IdentityProviderSettings>(&admin).await?;
    let typed = Typed::of(&form, &FIELDS);
    if form.again {
        return Ok(show(&admin, &provider, typed, Vec::new()));
    }
    let (id, subject, username) = (
        provider.id.clone(),
        typed.get("subject").to_owned(),
        typed.get("username").to_owned(),
    );
    let job = admin.registry();
    let link = job.run(move |registry, tx| identity_providers::link(registry, tx, &id, &subject, &username));
    match link.await {
        Ok(link) => Ok(done(&people::path_of(&link.person_id), "linked")),
        Err(Refused::Mistakes(mistakes)) => {
            let wrong = FieldMistake::of(&mistakes, &FIELDS);
            Ok(show(&admin, &provider, typed, wrong))
        }
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}

/// Where an account is parted from a provider.
pub fn unlink_path(provider_id: &str, person_id: &str) -> String {
    format!(
        "{}/unlink?person={person_id}",
        path_of::<IdentityProviderSettings>(provider_id)
    )
}

/// Whom the address names, with who she is at the provider.
async fn linked(
    admin: &AdminRequest,
    provider: &IdentityProvider,
) -> Result<(Person, Vec<String>), PageRefused> {
    let (provider_id, person_id) = (provider.id.clone(), admin.query().get("person").to_owned());
    let read = admin.app.store.read(move |conn| {
        let mut links = stored::links_of_person(conn, &person_id)?;
        links.retain(|link| link.provider_id == provider_id);
        let subjects: Vec<String> = links.into_iter().map(|link| link.subject).collect();
        Ok((stored_people::find(conn, &person_id)?, subjects))
    });
    match read.await? {
        (Some(person), subjects) if !subjects.is_empty() => Ok((person, subjects)),
        _ => Err(PageError::not_found().into()),
    }
}

/// `GET /admin/identity-providers/{id}/unlink?person={id}`: asks first.
pub async fn ask_unlink(admin: AdminRequest) -> Answered {
    let provider = found::<IdentityProviderSettings>(&admin).await?;
    let (person, _) = linked(&admin, &provider).await?;
    let page = ConfirmPage {
        shell: admin.shell(),
        frame: admin.frame(Area::IdentityProviders),
        question: format!("Unlink {} from {}?", person.name, provider.name),
        effects: vec![
            format!(
                "{} can no longer sign in with {}, and is signed out where that was used.",
                person.name, provider.name
            ),
            if person.password.is_some() {
                "The account stays, and the password still works."
            } else {
                "The account stays. There is no password: without a passkey or another agency’s sign-in, the person needs an invitation to sign in again."
            }
            .to_owned(),
        ],
        wrong: Vec::new(),
        action: unlink_path(&provider.id, &person.id),
        button: "Unlink",
        danger: true,
        back: people::path_of(&person.id),
    };
    Ok(pages::respond(&page, StatusCode::OK, FormAction::SelfOnly))
}

/// `POST /admin/identity-providers/{id}/unlink?person={id}`
pub async fn unlink(admin: AdminRequest, _form: PostedForm) -> Answered {
    let provider = found::<IdentityProviderSettings>(&admin).await?;
    let (person, subjects) = linked(&admin, &provider).await?;
    let (job, person_id) = (admin.registry(), person.id.clone());
    let parted = job.run(move |registry, tx| {
        for subject in &subjects {
            if let Err(mistakes) =
                identity_providers::unlink(registry, tx, &provider.id, subject, Some(&person_id))?
            {
                return Ok(Err(mistakes));
            }
        }
        Ok(Ok(()))
    });
    match parted.await {
        Ok(()) => Ok(done(&people::path_of(&person.id), "unlinked")),
        // It was there a moment ago: somebody else has unlinked it.
        Err(Refused::Mistakes(_)) => Err(PageError::not_found().into()),
        Err(Refused::Broken(broken)) => Err(broken.into()),
    }
}
