//! Identity providers: registered, changed, disabled, deleted; and whose account an identity there leads to.

use std::sync::Arc;

use url::Url;

use super::belonging::Known;
use super::limits::Limit;
use super::noun::{self, Ending, Judging, Noun, Registrable, Secrets};
use super::people::{self, PersonForm};
use super::{Decided, Mistakes, Omitted, Registry, mistake};
use crate::app::App;
use crate::audit::event::{Event, Kind};
use crate::model::agency::{Agency, Organization};
use crate::model::client::AuthMethod;
use crate::model::identity_provider::{
    Accounts, Identity, IdentityProvider, IdentityProviderSettings, LinkedIdentity, RoleMapping,
};
use crate::model::names::is_username;
use crate::model::person::Person;
use crate::model::registered::Registered;
use crate::policy::console::{Area, is_administrative};
use crate::secrets::master_key::{Derivation, Purpose};
use crate::session::revocation::revoke_grant;
use crate::session::{self, lockout};
use crate::store::changes::ChangeKind;
use crate::store::{
    StoreBroken, Stored, Tx, grants, identity_providers as stored, passkeys, people as stored_people,
    registered, sessions,
};

/// Methods that are one factor, or tell of no factor at all (RFC 8176 §2).
const NO_SECOND_FACTOR: [&str; 3] = ["pwd", "pin", "fed"];

/// The redirect URI that is registered at a provider: one for each, so that no provider is handed the code of another
/// (RFC 9700 §4.4.2.2).
pub fn redirect_uri(app: &App, provider_id: &str) -> String {
    app.url(&format!("/login/upstream/{provider_id}/callback"))
}

impl Registrable for IdentityProviderSettings {
    const NOUN: Noun = Noun {
        name: "identity provider",
        many: "identity providers",
        table: "identity_provider",
        id: "id",
        area: Area::IdentityProviders,
        event: Kind::IdentityProviderChanged,
        change: ChangeKind::IdentityProvider,
        reserved: &["new"],
        limits: &[
            ("issuer", Limit::URI),
            ("roles", Limit::SCOPES),
            ("scopes", Limit::SCOPES),
        ],
        secrets: Secrets::Ours(Purpose::UpstreamSecret),
    };

    fn check(&mut self, judging: &mut Judging<'_, Self>) {
        let registry = judging.registry;
        let has_secret = judging.said.secret().is_some()
            || judging
                .before
                .is_some_and(|before| before.sealed.is_some() && !self.is_another(&before.settings));
        let mistakes = &mut judging.mistakes;
        mistakes.take("issuer", check_issuer(registry, &self.issuer));
        mistakes.take("client_id", check_plain(&self.client_id));
        if self.auth_method == AuthMethod::PrivateKeyJwt {
            mistakes.add(
                "auth_method",
                "private_key_jwt is not supported here; use a secret, or none with PKCE alone",
            );
        }
        let lacks_secret = self.auth_method.uses_secret() && !has_secret;
        if lacks_secret && !self.secret_later {
            mistakes.add(
                "secret",
                "it is missing: the provider gave you one; a public client has auth_method none",
            );
        }
        self.secret_later = lacks_secret;
        if let Some(claim) = &self.username_claim {
            mistakes.take("username_claim", check_plain(claim));
        }
        check_roles(registry, &self.roles, mistakes);
        if self.manage_roles && self.roles.is_empty() {
            mistakes.add(
                "manage_roles",
                "it is of no use without roles; say which claims stand for which roles",
            );
        }
        if self.accounts == Accounts::Invited && self.agency.is_none() {
            mistakes.add(
                "agency",
                "it is missing: accounts = \"invited\" links accounts of one agency only, so say which; or write accounts = \"linked\"",
            );
        }
        if let Some(method) = self
            .trusted_amr
            .iter()
            .find(|method| NO_SECOND_FACTOR.contains(&method.as_str()))
        {
            mistakes.add(
                "trusted_amr",
                format!("{method:?} does not tell of a second factor; mfa, otp or hwk would"),
            );
        }
        for scope in &self.scopes {
            mistakes.take("scopes", check_plain(scope));
        }
        // It stands first, whoever leaves it out.
        self.scopes.retain(|scope| scope != "openid");
        self.scopes.insert(0, "openid".to_owned());
    }

    fn whose(registered: &Registered<Self>) -> Option<&str> {
        registered.settings.agency.as_deref()
    }

    fn belongs(&mut self) -> Option<(&mut Option<String>, &mut Option<Organization>)> {
        Some((&mut self.agency, &mut self.organization))
    }

    fn proof(&self) -> AuthMethod {
        self.auth_method
    }

    /// A `sub` of another issuer is somebody else, and our secret was for the old one; another agency vouches for others.
    fn is_another(&self, before: &Self) -> bool {
        self.issuer != before.issuer || (before.agency.is_some() && self.agency != before.agency)
    }

    fn end(
        registry: &Registry,
        tx: &mut Tx<'_>,
        id: &str,
        ending: Ending,
    ) -> Stored<Vec<(&'static str, String)>> {
        let mut ended = vec![(
            "sessions_ended",
            end_what_began_at(registry, tx, id, None)?.to_string(),
        )];
        if ending != Ending::Disabled {
            ended.push(("links", stored::delete_links(tx.conn(), id)?.to_string()));
        }
        Ok(ended)
    }

    fn named(event: Event, id: &str) -> Event {
        event.with("provider", id)
    }
}

fn check_issuer(registry: &Registry, issuer: &str) -> Result<(), String> {
    if issuer.is_empty() {
        return Err("it is missing: the issuer identifier, as the provider's discovery says it".to_owned());
    }
    let url = Url::parse(issuer).map_err(|cause| format!("{issuer:?} is not a URL: {cause}"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "{issuer:?} must have neither query nor fragment (OpenID Connect Discovery section 3)"
        ));
    }
    if issuer.ends_with("/.well-known/openid-configuration") {
        return Err(format!(
            "{issuer:?} is the address of the discovery document; write what stands before /.well-known"
        ));
    }
    if issuer == registry.app.issuer() {
        return Err(format!("{issuer:?} is this server itself"));
    }
    let tenants = ["/common/", "/organizations/", "/consumers/"];
    if url.host_str() == Some("login.microsoftonline.com")
        && tenants.iter().any(|path| url.path().starts_with(path))
    {
        return Err(format!(
            "{issuer:?} stands for every tenant; write the issuer of your own, with its id"
        ));
    }
    registry.check_reachable(&url)
}

/// Words that stand in requests: a client id, the name of a claim.
fn check_plain(text: &str) -> Result<(), String> {
    if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} must have 1 to 255 printable ASCII characters without blanks"
        ))
    }
}

fn check_roles(registry: &Registry, roles: &[RoleMapping], mistakes: &mut Mistakes) {
    let policy = &registry.app.policy;
    for RoleMapping {
        claim,
        value,
        role,
        console,
    } in roles
    {
        let is_bare =
            |text: &str| text.trim() == text && !text.is_empty() && !text.contains(char::is_control);
        // They are written with bars in between.
        if check_plain(claim).is_err() || claim.contains('|') || !is_bare(value) {
            mistakes.add(
                "roles",
                format!(
                    "claim {claim:?} with value {value:?}: neither may be empty, have blanks at its ends or hold control characters, nor the claim a |"
                ),
            );
        }
        match policy.role(role) {
            None => {
                let known: Vec<&str> = policy.roles().iter().map(|role| role.code.as_str()).collect();
                mistakes.add(
                    "roles",
                    format!("the policy has no role {role}; it has {}", known.join(", ")),
                );
            }
            Some(found) if found.console && !console => mistakes.add(
                "roles",
                format!(
                    "{role} governs this server: whoever runs the provider could take it over; \
                     if that is meant, write console = true into this mapping"
                ),
            ),
            Some(_) => {}
        }
    }
}

/// Ends what people do who signed in with a provider, or what one of them does: only the agency knows whether they still
/// may. Answers how many sessions that were. Accounts are disabled one by one.
fn end_what_began_at(
    registry: &Registry,
    tx: &mut Tx<'_>,
    provider_id: &str,
    person_id: Option<&str>,
) -> Stored<usize> {
    let (app, mut ended) = (&registry.app, 0);
    for session in sessions::of_provider(tx.conn(), provider_id, person_id)? {
        ended += usize::from(session::end(app, tx, &session)?);
    }
    // What was to stay connected as well, be its session over or not.
    for grant in grants::of_provider(tx.conn(), provider_id, person_id)? {
        revoke_grant(tx, &grant, app.now())?;
    }
    Ok(ended)
}

/// How the record names an identity: a keyed hash, for some providers use addresses.
pub fn subject_hash(registry: &Registry, provider_id: &str, subject: &str) -> String {
    registry
        .app
        .master
        .derive(Derivation::Username, &["identity", provider_id, subject])
}

fn linked(registry: &Registry, action: &'static str, link: &LinkedIdentity) -> Event {
    registry
        .event(Kind::IdentityLinked, action)
        .person(&link.person_id)
        .with("provider", &link.provider_id)
        .with(
            "subject_hash",
            subject_hash(registry, &link.provider_id, &link.subject),
        )
}

/// Joins an account with an identity, as an administrator vouches.
pub fn link(
    registry: &Registry,
    tx: &mut Tx<'_>,
    id: &str,
    subject: &str,
    username: &str,
) -> Decided<LinkedIdentity> {
    let provider = good!(noun::found::<IdentityProviderSettings>(tx.conn(), id)?);
    if subject.is_empty() || subject.len() > 255 {
        return Ok(mistake(
            "subject",
            "it must have 1 to 255 bytes: the claim sub, as the provider says it",
        ));
    }
    let Some(person) = stored_people::find_by_username(tx.conn(), username)? else {
        return Ok(mistake(
            "username",
            format!("nobody has the username {username:?}"),
        ));
    };
    match join(registry, tx, &provider.id, subject, &person.id)? {
        Some(link) => Ok(Ok(link)),
        None => Ok(mistake(
            "subject",
            "it is linked with an account already; unlink it first",
        )),
    }
}

fn join(
    registry: &Registry,
    tx: &mut Tx<'_>,
    provider_id: &str,
    subject: &str,
    person_id: &str,
) -> Stored<Option<LinkedIdentity>> {
    let link = LinkedIdentity {
        provider_id: provider_id.to_owned(),
        subject: subject.to_owned(),
        person_id: person_id.to_owned(),
        linked_at: registry.app.now(),
        last_used_at: None,
    };
    if !stored::add_link(tx.conn(), &link)? {
        return Ok(None);
    }
    tx.audit(linked(registry, "linked", &link));
    Ok(Some(link))
}

/// Parts an account from an identity, whosever it is or only that of this person, and ends what began with a sign-in
/// there. Answers how many sessions that were.
pub fn unlink(
    registry: &Registry,
    tx: &mut Tx<'_>,
    id: &str,
    subject: &str,
    person_id: Option<&str>,
) -> Decided<usize> {
    let link = stored::link(tx.conn(), id, subject)?;
    let Some(link) = link.filter(|link| person_id.is_none_or(|person_id| link.person_id == person_id)) else {
        return Ok(mistake("subject", "no account is linked with it"));
    };
    stored::delete_link(tx.conn(), id, subject)?;
    let ended = end_what_began_at(registry, tx, id, Some(&link.person_id))?;
    tx.audit(linked(registry, "unlinked", &link).with("sessions_ended", ended.to_string()));
    Ok(Ok(ended))
}

/// Why an identity that was verified leads to no account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRefused {
    /// For the record.
    pub reason: String,
    /// Whose account it would have been.
    pub person_id: Option<String>,
}

fn refuse<T>(reason: impl Into<String>, person: Option<&Person>) -> Stored<Result<T, IdentityRefused>> {
    Ok(Err(IdentityRefused {
        reason: reason.into(),
        person_id: person.map(|person| person.id.clone()),
    }))
}

/// Whose account an identity leads to: linked, to be linked now, or made now. Roles follow the provider's mapping.
///
/// # Errors
/// What the database says; a refusal is part of the answer, and nothing was written then.
pub fn arrive(
    registry: &Registry,
    tx: &mut Tx<'_>,
    provider: &IdentityProvider,
    identity: &Identity,
) -> Stored<Result<Person, IdentityRefused>> {
    // Disabled or changed while the person was there: what was verified may count no more.
    let current = registered::find::<IdentityProviderSettings>(tx.conn(), &provider.id)?;
    if !current.is_some_and(|current| current.enabled && current.settings == provider.settings) {
        return refuse("the provider was changed meanwhile", None);
    }
    if !registered::is_open(tx.conn(), provider.settings.agency.as_ref())? {
        return refuse("the provider's agency is disabled", None);
    }
    let now = registry.app.now();
    if let Some(link) = stored::link(tx.conn(), &provider.id, &identity.subject)? {
        let person = stored_people::find(tx.conn(), &link.person_id)?;
        return match person {
            Some(person) if lockout::may_sign_in(&registry.app, &person, now) => {
                let person = follow_roles(registry, tx, provider, identity, person)?;
                stored::link_used(tx.conn(), &provider.id, &identity.subject, now)?;
                Ok(Ok(person))
            }
            Some(person) if person.enabled => refuse("account dormant", Some(&person)),
            person => refuse("account disabled", person.as_ref()),
        };
    }
    let person = match provider.settings.accounts {
        Accounts::Linked => return refuse("the identity is not linked with an account", None),
        Accounts::Invited => match invited(tx, registry, provider, identity)? {
            Ok(person) => follow_roles(registry, tx, provider, identity, person)?,
            Err(refusal) => return Ok(Err(refusal)),
        },
        Accounts::Create => match create(registry, tx, provider, identity)? {
            Ok(person) => person,
            Err(refusal) => return Ok(Err(refusal)),
        },
    };
    if join(registry, tx, &provider.id, &identity.subject, &person.id)?.is_none() {
        return Err(StoreBroken::Defect("an identity was linked twice".to_owned()));
    }
    stored::link_used(tx.conn(), &provider.id, &identity.subject, now)?;
    Ok(Ok(person))
}

/// The one account that an administrator added for this person and nobody has used, by a verified address, or by the
/// username where the provider is trusted to say it. Letter case is ignored in ASCII alone: other letters fold into those
/// of somebody else's address (U+212A into `k`).
fn invited(
    tx: &mut Tx<'_>,
    registry: &Registry,
    provider: &IdentityProvider,
    identity: &Identity,
) -> Stored<Result<Person, IdentityRefused>> {
    let mut candidates: Vec<Person> = Vec::new();
    if let Some(email) = identity.text("email").filter(|_| identity.email_verified()) {
        for username in stored::usernames_with_email(tx.conn(), email, provider.settings.agency.as_deref())? {
            let person = stored_people::find_by_username(tx.conn(), &username)?;
            candidates.extend(person.filter(|person| {
                let known = person
                    .settings
                    .email
                    .as_deref()
                    .filter(|_| person.settings.email_verified);
                known.is_some_and(|known| known.eq_ignore_ascii_case(email))
            }));
        }
    }
    if let Some(username) = provider
        .settings
        .username_claim
        .as_deref()
        .and_then(|claim| identity.text(claim))
    {
        let named = stored_people::find_by_username(tx.conn(), username)?;
        let named = named.filter(|named| {
            is_username(&named.username, username) && named.settings.agency == provider.settings.agency
        });
        candidates.extend(named.filter(|named| !candidates.iter().any(|person| person.id == named.id)));
    }
    let Ok([person]) = <[Person; 1]>::try_from(candidates) else {
        return refuse(
            "not exactly one account fits the identity's verified e-mail address and username",
            None,
        );
    };
    if !lockout::may_sign_in(&registry.app, &person, registry.app.now()) {
        refuse(
            if person.enabled {
                "account dormant"
            } else {
                "account disabled"
            },
            Some(&person),
        )
    } else if
    // A provider without an agency speaks of nobody.
    provider.settings.agency.is_none() || provider.settings.agency != person.settings.agency {
        refuse(
            "the account belongs to another agency than the provider",
            Some(&person),
        )
    } else if is_administrative(&person.settings) {
        // Whoever runs the provider could take the server over.
        refuse(
            "the account has a role of the console: an administrator has to link it",
            Some(&person),
        )
    } else if was_used(tx, &person)? {
        // Whoever runs the provider could take over what is somebody's already.
        refuse(
            "the account was used or linked before: an administrator has to link it",
            Some(&person),
        )
    } else {
        Ok(Ok(person))
    }
}

/// Whether anybody has signed in to an account, or could without an invitation.
fn was_used(tx: &mut Tx<'_>, person: &Person) -> Stored<bool> {
    Ok(person.last_login_at.is_some()
        || person.password.is_some()
        || person.totp_secret.is_some()
        || passkeys::any(tx.conn(), &person.id)?
        || !stored::links_of_person(tx.conn(), &person.id)?.is_empty())
}

fn console_roles<'a>(registry: &'a Registry, person: &'a Person) -> impl Iterator<Item = &'a String> {
    let is_console = |code: &str| registry.app.policy.role(code).is_some_and(|role| role.console);
    person.settings.roles.iter().filter(move |code| is_console(code))
}

/// The mapped roles that the policy has now, for the kind of an agency. One of the console counts only where the mapping
/// says that it is one.
fn roles_of(
    registry: &Registry,
    agency: Option<&Arc<Agency>>,
    provider: &IdentityProvider,
    identity: &Identity,
) -> Vec<String> {
    let policy = &registry.app.policy;
    let fits = |code: &str| agency.is_none_or(|agency| policy.may_have(&agency.settings.kind, code));
    let mut roles = provider.settings.mapped_roles(identity);
    let says = |code: &str| {
        provider
            .settings
            .roles
            .iter()
            .any(|mapping| mapping.role == code && mapping.console)
    };
    roles.retain(|code| {
        policy
            .role(code)
            .is_some_and(|role| if role.console { says(code) } else { fits(code) })
    });
    roles
}

fn create(
    registry: &Registry,
    tx: &mut Tx<'_>,
    provider: &IdentityProvider,
    identity: &Identity,
) -> Stored<Result<Person, IdentityRefused>> {
    let claim = provider.settings.username_claim();
    let Some(username) = identity.text(claim) else {
        return refuse(
            format!("claim {claim}, which holds the username, is missing"),
            None,
        );
    };
    if let Some(person) = stored_people::find_by_username(tx.conn(), username)? {
        return refuse(
            "the username belongs to an account that is not linked",
            Some(&person),
        );
    }
    let known = Known::read(tx.conn())?;
    let roles = roles_of(
        registry,
        known.all().of(provider.settings.agency.as_ref()),
        provider,
        identity,
    );
    if roles.is_empty() && !provider.settings.roles.is_empty() {
        return refuse("no claim stands for a role", None);
    }
    let form = PersonForm {
        username: Some(username.to_owned()),
        name: Some(identity.full_name().unwrap_or_else(|| username.to_owned())),
        roles: Some(roles),
        agency: provider.settings.agency.clone(),
        email: identity.text("email").map(str::to_owned),
        email_verified: Some(identity.email_verified()),
        ..PersonForm::default()
    };
    let mut draft = match people::draft(registry, &form, Omitted::Keeps, None, &known) {
        Ok(draft) => draft,
        Err(mistakes) => {
            let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            return refuse(format!("the claims make no account: {}", told.join("; ")), None);
        }
    };
    draft.person.settings.provisioned_by = Some(provider.id.clone());
    people::write(registry, tx, &draft, None)?;
    Ok(Ok(draft.person))
}

/// Roles of accounts that the provider made, or manages, are those of the mapping. What governs this server stays as
/// administrators decided, unless the mapping names it.
fn follow_roles(
    registry: &Registry,
    tx: &mut Tx<'_>,
    provider: &IdentityProvider,
    identity: &Identity,
    person: Person,
) -> Stored<Person> {
    let settings = &provider.settings;
    let made = person.settings.provisioned_by.as_deref() == Some(provider.id.as_str());
    if settings.roles.is_empty() || !(made || settings.manage_roles) {
        return Ok(person);
    }
    // What somebody is at her own agency is no other agency's affair.
    if settings.agency.is_some() && settings.agency != person.settings.agency {
        return Ok(person);
    }
    let known = Known::read(tx.conn())?;
    let agency = known.all().of(person.settings.agency.as_ref());
    let mut roles = roles_of(registry, agency, provider, identity);
    let mapped = |code: &String| settings.roles.iter().any(|mapping| mapping.role == *code);
    roles.extend(
        console_roles(registry, &person)
            .filter(|code| !mapped(code))
            .cloned(),
    );
    match people::set_roles(registry, tx, &person.username, &roles)? {
        Ok(person) => Ok(person),
        Err(mistakes) => Err(StoreBroken::Defect(format!("roles by mapping: {mistakes:?}"))),
    }
}
