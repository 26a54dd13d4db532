//! "My access": one page that tells somebody who she is here, how she signs in, where she is signed in, what she allowed
//! and who tried to be her. Everybody sees and ends what is her own, and nothing else.

pub mod applications;
pub mod authenticator;
pub mod done;
pub mod passkeys;
pub mod recovery_codes;
pub mod sessions;
pub mod sign_ins;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use self::applications::AllowedFacts;
use self::done::in_words;
use self::sign_ins::provider_name;
use crate::app::App;
use crate::clock::local_time::{Zone, day_in_words};
use crate::issuance::licence_ends;
use crate::login::totp;
use crate::model::identity_provider::LinkedIdentity;
use crate::model::person::Person;
use crate::model::session::Session;
use crate::session::notices::can_confirm;
use crate::store::audit::{self, AuditRow, Concerned};
use crate::store::passkeys::{self as stored_passkeys, StoredPasskey};
use crate::store::{Conn, Stored, identity_providers, recovery_codes as stored_codes};
use crate::web::browser;
use crate::web::guard::SignedIn;
use crate::web::page::{Answered, Own};
use crate::web::pages::account::{AccountPage, Address, IdentityItem, License, Methods, PasskeyItem};
use crate::web::pages::{self, Account, FormAction};

/// What the database knows beside the person.
struct Facts {
    sessions: Vec<Session>,
    allowed: AllowedFacts,
    passkeys: Vec<StoredPasskey>,
    recovery_codes: (i64, Option<i64>),
    identities: Vec<LinkedIdentity>,
    sign_ins: Vec<AuditRow>,
}

impl Facts {
    fn load(conn: &mut Conn, person_id: &str, now: i64) -> Stored<Self> {
        let since = (now - sign_ins::SECONDS) * 1000;
        Ok(Self {
            sessions: crate::store::sessions::of_person(conn, person_id)?,
            allowed: AllowedFacts::load(conn, person_id)?,
            passkeys: stored_passkeys::of_person(conn, person_id)?,
            recovery_codes: stored_codes::left(conn, person_id)?,
            identities: identity_providers::links_of_person(conn, person_id)?,
            sign_ins: audit::last_of(
                conn,
                &Concerned::Person(person_id.to_owned()),
                &sign_ins::KINDS,
                since,
                sign_ins::LOOKED_AT,
            )?,
        })
    }
}

/// `GET /account`
pub async fn get(own: Own) -> Answered {
    let (app, signed_in) = (&own.app, &own.signed_in);
    let done = browser::carried(app, &own.request)
        .ok()
        .and_then(|(pending, _)| pending.notice)
        .and_then(in_words);
    let (id, now) = (signed_in.person.id.clone(), app.now());
    let facts = app.store.read(move |conn| Facts::load(conn, &id, now)).await?;
    Ok(show(app, signed_in, &facts, done))
}

fn show(app: &App, signed_in: &SignedIn, facts: &Facts, done: Option<&str>) -> HttpResponse {
    let person = &signed_in.person;
    let zone = Zone::of(&person.settings, &app.config.policy.time_zone);
    let csrf = browser::csrf_token(app, &signed_in.browser);
    let (agencies, roles) = (app.live.agencies(), person.settings.all_roles());
    let roles = roles.iter();
    let page = AccountPage {
        shell: browser::shell_of(app, person, &csrf),
        csrf: &csrf,
        done,
        account: Account {
            name: &person.name,
            username: &person.username,
        },
        agency: agencies
            .of(person.settings.agency.as_ref())
            .map(|agency| agency.name.as_str()),
        roles: roles
            .map(|code| {
                app.policy
                    .role(code)
                    .map_or(code.as_str(), |role| role.label.as_str())
            })
            .collect(),
        address: person.settings.email.as_deref().map(|email| Address {
            email,
            confirmed: person.settings.email_verified,
            can_confirm: can_confirm(app, person),
        }),
        license: person
            .settings
            .license_expires
            .as_deref()
            .map(|last_day| License {
                last_day: day_in_words(last_day),
                ended: licence_ends(&app.config.policy.time_zone, person)
                    .is_some_and(|ends| app.now() >= ends),
            }),
        methods: methods(app, person, facts, &zone),
        sessions: sessions::listed(app, signed_in, &facts.sessions, &zone),
        applications: applications::listed(app, person, &facts.allowed, &zone),
        sign_ins: sign_ins::listed(app, &facts.sign_ins, &zone),
    };
    pages::respond(&page, StatusCode::OK, FormAction::SelfOnly)
}

fn methods(app: &App, person: &Person, facts: &Facts, zone: &Zone) -> Methods {
    let (recovery_codes, made) = facts.recovery_codes;
    Methods {
        password: person
            .password
            .as_ref()
            .map(|_| zone.when(person.password_changed_at)),
        authenticator: person.totp_secret.is_some(),
        authenticator_used: totp::used_at(person.totp_step).map(|at| zone.when(at)),
        passkeys: facts
            .passkeys
            .iter()
            .map(|passkey| PasskeyItem {
                id: passkey.id.clone(),
                name: passkey.name.clone(),
                added: zone.when(passkey.created_at),
                used: passkey.last_used_at.map(|at| zone.when(at)),
            })
            .collect(),
        more_passkeys: app.passkeys.is_some(),
        recovery_codes,
        recovery_codes_made: made.map(|at| zone.when(at)),
        identities: facts
            .identities
            .iter()
            .map(|identity| IdentityItem {
                provider: provider_name(app, &identity.provider_id),
                linked: zone.when(identity.linked_at),
                used: identity.last_used_at.map(|at| zone.when(at)),
            })
            .collect(),
    }
}
