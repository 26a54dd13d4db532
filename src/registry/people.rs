//! People: added, changed, disabled; their roles, passwords and second factors.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;

use data_encoding::BASE32_NOPAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::belonging::{self, Known, Wanted};
use super::limits::{self, Limit};
use super::{
    Decided, Mistake, Mistakes, Omitted, Refused, Registry, Words, api_tokens, difference, display_name,
    identifier, mail_address, mistake, noun, object, unchanged, uris, version_of,
};
use crate::audit::event::{Event, Kind};
use crate::model::agency::{Agency, Membership, Organization};
use crate::model::link::LinkKind;
use crate::model::names;
use crate::model::person::{MUST_CHANGE, Person, PersonSettings, SET_BY_ANOTHER};
use crate::model::secret::Secret;
use crate::model::security_label::{Confidentiality, Integrity};
use crate::policy::console::{self, ADMINISTRATOR, Area, Reach, Right};
use crate::secrets::master_key::Purpose;
use crate::secrets::password_rules::{PasswordRefused, Whose};
use crate::session::notices::AccountChange;
use crate::session::{self, lockout};
use crate::store::audit::{self, Concerned};
use crate::store::changes::ChangeKind;
use crate::store::installation::DormancyNotice;
use crate::store::password_history::{self, Replaced};
use crate::store::{
    Conn, Stored, Tx, identity_providers, installation, links, passkeys, people, recovery_codes, registered,
};

/// The shortest TOTP secret, in bytes (RFC 4226 §4: 128 bits).
const SHORTEST_TOTP_SECRET: usize = 16;
/// The length of those that we make, in bytes (RFC 4226 §4 recommends 160 bits).
const TOTP_SECRET: usize = 20;
/// One of how many people may be disabled at a time because they were not here for long, without its being told before.
const DORMANT_SHARE: i64 = 10;
/// How long before it is told otherwise, in seconds.
const DORMANT_NOTICE_SECONDS: i64 = 86_400;
/// How often the roles of somebody may change within a day before other agencies must wait.
const MOST_CHANGES: i64 = 10;
/// How many dormant people are disabled in one transaction.
const DORMANT_BATCH: i64 = 50;

/// What is wanted of a person. What is left out stays as it is, or takes its default.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonForm {
    /// What the person types to sign in.
    pub username: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// The password: counts when the person is added.
    pub password: Option<Secret>,
    /// The TOTP secret in base32: counts when the person is added.
    pub totp_secret: Option<Secret>,
    /// Codes of roles.
    pub roles: Option<Vec<String>>,
    /// The agency that the person belongs to, by its id; an empty text: none.
    pub agency: Option<String>,
    /// The agency, where it may not be registered yet: it is found by its identifier, or made.
    pub organization: Option<Organization>,
    /// What the person may do at other agencies, and what she looks after at her own.
    pub memberships: Option<Vec<Membership>>,
    /// National Provider Identifier.
    pub npi: Option<String>,
    /// The FHIR resource that represents the person.
    pub fhir_user: Option<String>,
    /// Electronic mail address.
    pub email: Option<String>,
    /// Whether the address was proved to be the person's.
    pub email_verified: Option<bool>,
    /// Clearance.
    #[schema(value_type = Option<String>, examples("R"))]
    pub confidentiality: Option<Confidentiality>,
    /// Integrity of what the person enters.
    #[schema(value_type = Option<String>, examples("HRELIABLE"))]
    pub integrity: Option<Integrity>,
    /// Purposes of use; narrows those of the roles.
    pub purposes: Option<Words>,
    /// The last day on which the licence holds, `YYYY-MM-DD`.
    pub license_expires: Option<String>,
    /// Whether the person may sign in.
    pub enabled: Option<bool>,
    /// The identity provider that the account was made for.
    pub provisioned_by: Option<String>,
    /// OpenID standard claims.
    #[schema(value_type = Option<Object>)]
    pub claims: Option<Map<String, Value>>,
}

/// A person as she will be, checked.
#[derive(Clone)]
pub struct Draft {
    /// As she will be; password and TOTP secret are still the old ones.
    pub person: Person,
    /// The password to set, of a new person.
    pub password: Option<Secret>,
    before: Option<Person>,
    /// An agency that has to be registered first.
    pub(super) agency: Option<Agency>,
    totp: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the secrets.
        f.debug_struct("Draft")
            .field("username", &self.person.username)
            .finish_non_exhaustive()
    }
}

impl Draft {
    /// Whether the person is new.
    pub fn is_new(&self) -> bool {
        self.before.is_none()
    }

    /// Whether the person gets an invitation: she is new, nobody has set a password for her, and she does not come by way
    /// of her agency.
    pub fn is_invited(&self) -> bool {
        let by_agency = self.person.settings.provisioned_by.is_some();
        self.is_new() && self.password.is_none() && self.person.enabled && !by_agency
    }

    /// What changes, one line a setting; nothing if all is as it was.
    pub fn differences(&self) -> Vec<String> {
        difference(
            &self.before.as_ref().map(view).unwrap_or_default(),
            &view(&self.person),
        )
    }
}

/// What is known about a person, without password and second factor, as the record and the listings show it.
pub fn view(person: &Person) -> Map<String, Value> {
    let mut view = object(&person.settings);
    view.insert("username".to_owned(), json!(person.username));
    view.insert("name".to_owned(), json!(person.name));
    view.insert("enabled".to_owned(), json!(person.enabled));
    view
}

/// Checks a form: `before` is the person with this username.
///
/// # Errors
/// Every mistake.
pub fn draft(
    registry: &Registry,
    form: &PersonForm,
    manner: Omitted,
    before: Option<&Person>,
    known: &Known,
) -> Result<Draft, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let now = registry.app.now();
    let (agency, made) = belonging(registry, form, manner, before, known).unwrap_or_else(|wrong| {
        mistakes.0.extend(wrong);
        (None, None)
    });
    let stays = before.map(|person| staying(&person.settings, agency.as_ref()));
    let old = manner.kept(stays.as_ref());
    let moves =
        before.is_some_and(|person| person.settings.agency.is_some() && person.settings.agency != agency);
    let said_anew;
    let form = match before.filter(|_| moves && manner == Omitted::TakesDefault) {
        // A whole form says everything again; what it says as it was is not said anew.
        Some(person) => {
            said_anew = without_the_old(form, &person.settings);
            &said_anew
        }
        None => form,
    };
    let username = match before {
        Some(person) => person.username.clone(),
        None => {
            let typed = form.username.as_deref().unwrap_or_default();
            mistakes
                .take("username", names::username(typed))
                .unwrap_or_default()
        }
    };
    let name = mistakes.take(
        "name",
        display_name(form.name.as_deref(), before.map(|person| person.name.as_str())),
    );
    let roles = form
        .roles
        .clone()
        .or_else(|| old.map(|old| old.roles.clone()))
        .unwrap_or_default();
    let kind = kind_for(known, made.as_ref(), agency.as_ref());
    let as_before =
        before.is_some_and(|person| person.settings.roles == roles && person.settings.agency == agency);
    let roles = mistakes
        .take(
            "roles",
            check_roles(registry, &roles, kind.filter(|_| !as_before)),
        )
        .unwrap_or_default();
    let totp = form.totp_secret.as_ref().filter(|_| before.is_none());
    let totp = totp.and_then(|secret| mistakes.take("totp_secret", read_totp_secret(secret)));
    let password = form.password.clone().filter(|_| before.is_none());
    if let Some(password) = &password {
        let name = form.name.as_deref().unwrap_or_default();
        let whose = Whose {
            username: &username,
            name,
            second_factor: form.totp_secret.is_some(),
        };
        mistakes.take("password", check_password(registry, password, whose));
    }
    let mut settings = settings(registry, form, old, roles, &mut mistakes);
    mistakes.take("email_verified", vouched(registry, before, &settings));
    settings.agency = agency;
    settings.memberships = memberships(registry, form, old, (before, &settings), known, &mut mistakes);
    let made_for = stays
        .as_ref()
        .and_then(|settings| settings.provisioned_by.as_ref());
    settings.provisioned_by = kept_or_checked(
        "provisioned_by",
        form.provisioned_by.as_ref(),
        made_for,
        identifier,
        &mut mistakes,
    );
    check_size(&settings, &mut mistakes);
    let enabled = form
        .enabled
        .unwrap_or_else(|| before.is_none_or(|person| person.enabled));
    let person = Person {
        id: before.map_or_else(|| registry.app.entropy.id("usr"), |person| person.id.clone()),
        username,
        name: name.unwrap_or_default(),
        password: before.and_then(|person| person.password.clone()),
        totp_secret: before.and_then(|person| person.totp_secret.clone()),
        totp_step: before.map_or(0, |person| person.totp_step),
        generation: next_generation(before, &settings, enabled),
        settings,
        enabled,
        created_at: before.map_or(now, |person| person.created_at),
        updated_at: now,
        password_changed_at: before.map_or(now, |person| person.password_changed_at),
        last_login_at: before.and_then(|person| person.last_login_at),
        idle_since: before
            .filter(|person| person.enabled || !enabled)
            .map_or(now, |person| person.idle_since),
    };
    mistakes.into_result(Draft {
        person,
        password,
        before: before.cloned(),
        agency: made,
        totp,
    })
}

/// Nobody at the console or by the API says of another address of an account that it is the person's. Forgotten passwords
/// are answered there, notices go there, and an agency's provider is linked by it.
fn vouched(registry: &Registry, before: Option<&Person>, settings: &PersonSettings) -> Result<(), String> {
    let proved = |old: &PersonSettings| old.email_verified && old.email == settings.email;
    let other = before.is_some_and(|person| person.is_taken_over() && !proved(&person.settings));
    if registry.bounds.is_none() || !settings.email_verified || !other {
        return Ok(());
    }
    Err("the account has been taken over by its person, who alone can confirm another address: leave it out, and the person confirms the address on the page “My access”, or an operator does with mdi-auth user change".to_owned())
}

/// How much may be known of somebody: the limits of everything that is registered.
fn check_size(settings: &PersonSettings, mistakes: &mut Mistakes) {
    let all = object(settings);
    for (member, value) in &all {
        let limit = if member == "fhir_user" {
            Limit::URI
        } else {
            Limit::USUAL
        };
        if let Some(what) = limits::exceeded(value, limit) {
            mistakes.add(member.clone(), what);
        }
    }
    let size = Value::Object(all).to_string().len();
    if size > limits::ALL {
        mistakes.add(
            "username",
            format!(
                "all that is said of the person has {size} bytes; at most {} are kept",
                limits::ALL
            ),
        );
    }
}

/// To which agency somebody is to belong. Who looks after one agency alone adds people there.
fn belonging(
    registry: &Registry,
    form: &PersonForm,
    manner: Omitted,
    before: Option<&Person>,
    known: &Known,
) -> Result<(Option<String>, Option<Agency>), Vec<Mistake>> {
    if form.agency.is_some() && form.organization.is_some() {
        return mistake("organization", "say agency, or organization, but not both");
    }
    let old = before.and_then(|person| person.settings.agency.as_ref());
    let said = form
        .agency
        .as_ref()
        .or(manner.kept(old))
        .filter(|id| !id.is_empty());
    let own = match registry.reach(Area::People) {
        Reach::Agencies(ids) if ids.len() == 1 && form.agency.is_none() => ids.into_iter().next(),
        _ => None,
    };
    let wanted = Wanted {
        agency: said.or(own.as_ref()).map(String::as_str),
        inline: form.organization.as_ref(),
        old: old.map(String::as_str),
        area: Area::People,
    };
    belonging::settle(registry, &wanted, known)
}

/// What stays of what is known where somebody is to belong to another agency: nothing that the old one gave.
fn staying(settings: &PersonSettings, agency: Option<&String>) -> PersonSettings {
    let mut stays = settings.clone();
    if settings.agency.as_ref() == agency {
        return stays;
    }
    // At her own agency she has roles, and no membership but to look after it.
    let homes = [settings.agency.as_ref(), agency];
    stays
        .memberships
        .retain(|membership| !homes.contains(&Some(&membership.agency)));
    if settings.agency.is_some() {
        stays.roles.retain(|role| console::is_console_role(role));
        stays.confidentiality = None;
        stays.integrity = None;
        stays.purposes = None;
        stays.fhir_user = None;
        stays.provisioned_by = None;
    }
    stays
}

/// A form without what it says of the old agency's gifts as they were.
fn without_the_old(form: &PersonForm, old: &PersonSettings) -> PersonForm {
    let mut form = form.clone();
    let only_console = |roles: &[String]| -> Vec<String> {
        let console = roles.iter().filter(|role| console::is_console_role(role));
        console.cloned().collect()
    };
    if form.roles.as_ref() == Some(&old.roles) {
        form.roles = Some(only_console(&old.roles));
    }
    form.confidentiality = form
        .confidentiality
        .filter(|level| old.confidentiality != Some(*level));
    form.integrity = form.integrity.filter(|level| old.integrity != Some(*level));
    form.fhir_user = form
        .fhir_user
        .filter(|resource| old.fhir_user.as_ref() != Some(resource));
    let purposes = |words: &Words| old.purposes.as_ref() != Some(&words.words());
    form.purposes = form.purposes.filter(purposes);
    if let Some(memberships) = &mut form.memberships {
        memberships.retain(|membership| old.agency.as_ref() != Some(&membership.agency));
    }
    form
}

/// The kind of an agency, unless it has mistakes of its own.
fn kind_for<'a>(known: &'a Known, made: Option<&'a Agency>, id: Option<&String>) -> Option<&'a str> {
    let registered = known.all().of(id).map(AsRef::as_ref);
    made.or(registered).map(|agency| agency.settings.kind.as_str())
}

/// Whether what was given counts no more: other roles, another agency, or fewer roles elsewhere. More roles elsewhere end
/// nothing: another agency gives them.
fn ends_what_was_given(before: &PersonSettings, after: &PersonSettings) -> bool {
    let lost = |membership: &Membership| {
        let there = after.membership(&membership.agency);
        let has = |role: &String| there.is_some_and(|there| there.roles.contains(role));
        !membership.roles.iter().all(has)
    };
    before.roles != after.roles || before.agency != after.agency || before.memberships.iter().any(lost)
}

/// Disabling, and a change of roles or of the agency, raise the generation, which ends sessions and grants.
fn next_generation(before: Option<&Person>, settings: &PersonSettings, enabled: bool) -> i64 {
    before.map_or(0, |person| {
        let ends = (person.enabled && !enabled) || ends_what_was_given(&person.settings, settings);
        person.generation + i64::from(ends)
    })
}

/// Whether what somebody may do, or for whom, is another than it was.
fn holds_otherwise(before: &PersonSettings, after: &PersonSettings) -> bool {
    before.roles != after.roles || before.agency != after.agency || before.memberships != after.memberships
}

/// What somebody may do at other agencies, in the order of their ids. Those that whoever acts does not look after stay as
/// they are.
fn memberships(
    registry: &Registry,
    form: &PersonForm,
    old: Option<&PersonSettings>,
    (before, after): (Option<&Person>, &PersonSettings),
    known: &Known,
    mistakes: &mut Mistakes,
) -> Vec<Membership> {
    let kept = || old.map(|old| old.memberships.clone());
    let said = form.memberships.clone().or_else(kept).unwrap_or_default();
    let reach = registry.reach(Area::People);
    let hidden = before
        .into_iter()
        .flat_map(|person| &person.settings.memberships)
        .filter(|membership| !reach.holds_for(Some(&membership.agency)));
    let hidden: Vec<Membership> = hidden.cloned().collect();
    let mut all = hidden.clone();
    for membership in said {
        if !reach.holds_for(Some(&membership.agency)) {
            // What is kept of others' is not said by whoever acts.
            if form.memberships.is_some() {
                mistakes.add("memberships", belonging::unknown(&membership.agency));
            }
            continue;
        }
        let stays = before.is_some_and(|person| person.settings.agency == after.agency);
        let as_before =
            stays && before.is_some_and(|person| person.settings.memberships.contains(&membership));
        if let Err(text) = known.check(&membership.agency) {
            mistakes.add("memberships", text);
        } else if all.iter().any(|other| other.agency == membership.agency) {
            mistakes.add(
                "memberships",
                format!(
                    "the agency {:?} is there twice; say it once, with all roles",
                    membership.agency
                ),
            );
        } else if as_before {
            all.push(membership);
        } else {
            let is_home = after.agency.as_ref() == Some(&membership.agency);
            let kind = kind_for(known, None, Some(&membership.agency));
            let roles = check_roles_there(registry, &membership.roles, kind, is_home);
            let roles = mistakes.take("memberships", roles).unwrap_or_default();
            all.push(Membership { roles, ..membership });
        }
    }
    all.retain(|membership| !membership.roles.is_empty());
    all.sort_by(|one, other| one.agency.cmp(&other.agency));
    all
}

fn settings(
    registry: &Registry,
    form: &PersonForm,
    old: Option<&PersonSettings>,
    roles: Vec<String>,
    mistakes: &mut Mistakes,
) -> PersonSettings {
    let mut claims = form
        .claims
        .clone()
        .or_else(|| old.map(|old| old.claims.clone()))
        .unwrap_or_default();
    check_claims(&claims, mistakes);
    let (email, email_verified) = email(form, old, &mut claims, mistakes);
    PersonSettings {
        roles,
        agency: None,
        memberships: Vec::new(),
        npi: kept_or_checked(
            "npi",
            form.npi.as_ref(),
            old.and_then(|old| old.npi.as_ref()),
            check_npi,
            mistakes,
        ),
        fhir_user: kept_or_checked(
            "fhir_user",
            form.fhir_user.as_ref(),
            old.and_then(|old| old.fhir_user.as_ref()),
            check_fhir_user,
            mistakes,
        ),
        email,
        email_verified,
        confidentiality: form.confidentiality.or(old.and_then(|old| old.confidentiality)),
        integrity: form.integrity.or(old.and_then(|old| old.integrity)),
        purposes: registry
            .purposes(form.purposes.as_ref(), mistakes)
            .or_else(|| old.and_then(|old| old.purposes.clone())),
        license_expires: kept_or_checked(
            "license_expires",
            form.license_expires.as_ref(),
            old.and_then(|old| old.license_expires.as_ref()),
            check_day,
            mistakes,
        ),
        provisioned_by: None,
        claims,
    }
}

/// The address and whether it was proved. Both have keys of their own; claims are another spelling of them.
fn email(
    form: &PersonForm,
    old: Option<&PersonSettings>,
    claims: &mut Map<String, Value>,
    mistakes: &mut Mistakes,
) -> (Option<String>, bool) {
    let claimed = claims
        .remove("email")
        .and_then(|email| email.as_str().map(str::to_owned));
    let claimed_verified = claims
        .remove("email_verified")
        .and_then(|verified| verified.as_bool());
    let email = form
        .email
        .clone()
        .or(claimed)
        .or_else(|| old.and_then(|old| old.email.clone()));
    if let Some(email) = &email {
        mistakes.take("email", mail_address(email));
    }
    // A new address was not proved yet.
    let kept = old.is_some_and(|old| old.email_verified && old.email == email);
    let verified = email.is_some() && form.email_verified.or(claimed_verified).unwrap_or(kept);
    (email, verified)
}

fn kept_or_checked(
    key: &'static str,
    given: Option<&String>,
    old: Option<&String>,
    check: fn(&str) -> Result<(), String>,
    mistakes: &mut Mistakes,
) -> Option<String> {
    match given {
        None => old.cloned(),
        Some(text) => mistakes.take(key, check(text).map(|()| text.clone())),
    }
}

/// Each role once, in the order of the policy, so that order makes no difference; at an agency, those that its kind may
/// have, and those of the console, which hold everywhere.
fn check_roles(registry: &Registry, roles: &[String], kind: Option<&str>) -> Result<Vec<String>, String> {
    let ordered = ordered(registry, roles)?;
    if let Some(kind) = kind {
        let work = ordered.iter().filter(|role| !console::is_console_role(role));
        check_kind(registry, work, kind)?;
    }
    Ok(ordered)
}

/// Roles for one agency: those that its kind may have, unless it is her own, where they are no memberships; and those that
/// look after it.
fn check_roles_there(
    registry: &Registry,
    roles: &[String],
    kind: Option<&str>,
    is_home: bool,
) -> Result<Vec<String>, String> {
    let ordered = ordered(registry, roles)?;
    let work = || ordered.iter().filter(|role| !console::is_agency_role(role));
    if is_home && let Some(role) = work().next() {
        return Err(format!(
            "the person belongs to this agency: {role} is one of her roles; here {} may stand",
            console::AGENCY_ROLES.join(" and ")
        ));
    }
    if let Some(role) = work().find(|role| console::is_console_role(role)) {
        return Err(format!(
            "{role} holds for everybody's affairs, and cannot be given for one agency; {} can",
            console::AGENCY_ROLES.join(" and ")
        ));
    }
    if let Some(kind) = kind {
        check_kind(registry, work(), kind)?;
    }
    Ok(ordered)
}

fn check_kind<'a>(
    registry: &Registry,
    mut work: impl Iterator<Item = &'a String>,
    kind: &str,
) -> Result<(), String> {
    let policy = &registry.app.policy;
    let Some(role) = work.find(|role| !policy.may_have(kind, role)) else {
        return Ok(());
    };
    let all = policy.roles().iter().map(|role| role.code.as_str());
    let may: Vec<&str> = all.filter(|code| policy.may_have(kind, code)).collect();
    let label = policy.agency_kind(kind).map_or(kind, |kind| kind.label.as_str());
    Err(format!(
        "{role} is no role for an agency of the kind {label:?}; its people may have {}",
        may.join(", ")
    ))
}

fn ordered(registry: &Registry, roles: &[String]) -> Result<Vec<String>, String> {
    let policy = &registry.app.policy;
    let unknown: Vec<&str> = roles
        .iter()
        .filter(|code| policy.role(code).is_none())
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = policy.roles().iter().map(|role| role.code.as_str()).collect();
        return Err(format!(
            "the policy has no role {}; it has {}",
            unknown.join(", "),
            known.join(", ")
        ));
    }
    Ok(policy
        .roles()
        .iter()
        .filter(|role| roles.contains(&role.code))
        .map(|role| role.code.clone())
        .collect())
}

/// A National Provider Identifier: ten digits that pass the Luhn check behind the prefix 80840 (45 CFR 162.406).
pub(super) fn check_npi(npi: &str) -> Result<(), String> {
    let digits: Option<Vec<u32>> = npi.chars().map(|digit| digit.to_digit(10)).collect();
    let digits = digits
        .filter(|digits| digits.len() == 10)
        .ok_or_else(|| format!("{npi:?} must have ten digits"))?;
    let with_prefix = [8, 0, 8, 4, 0].iter().chain(&digits).rev().enumerate();
    let sum: u32 = with_prefix
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    if sum.is_multiple_of(10) {
        Ok(())
    } else {
        Err(format!(
            "{npi:?} is not an NPI: its check digit does not fit; look for a typing error"
        ))
    }
}

/// SMART App Launch `fhirUser`: a reference to the resource that represents the person.
fn check_fhir_user(reference: &str) -> Result<(), String> {
    const TYPES: [&str; 5] = [
        "Practitioner",
        "PractitionerRole",
        "Person",
        "RelatedPerson",
        "Patient",
    ];
    let wanted = || {
        format!(
            "{reference:?} must end in {} and an id, such as Practitioner/77 or https://edrs.example/fhir/Practitioner/77",
            TYPES.join(", ")
        )
    };
    let mut parts = reference.rsplitn(3, '/');
    let (id, kind, base) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next(),
    );
    let id_fits = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let base_fits = base.is_none_or(|base| {
        Url::parse(base).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http") && url.query().is_none() && url.fragment().is_none()
        })
    });
    if id_fits && base_fits && TYPES.contains(&kind) {
        Ok(())
    } else {
        Err(wanted())
    }
}

fn check_day(day: &str) -> Result<(), String> {
    match day.parse::<jiff::civil::Date>() {
        Ok(date) if date.to_string() == day => Ok(()),
        _ => Err(format!("{day:?} must be a day as YYYY-MM-DD")),
    }
}

/// OpenID Connect Core §5.1: names and types. What other keys or this server say is not for claims to say again.
fn check_claims(claims: &Map<String, Value>, mistakes: &mut Mistakes) {
    for (name, value) in claims {
        let wanted = match name.as_str() {
            "sub" => Err("it is the person's id, which this server gives"),
            "name" => Err("the key name stands outside of claims"),
            "preferred_username" => Err("it is the username, and that key stands outside of claims"),
            "updated_at" => Err("it is when the account was last changed, which this server notes itself"),
            "given_name" | "family_name" | "middle_name" | "nickname" | "profile" | "picture" | "website"
            | "gender" | "birthdate" | "zoneinfo" | "locale" | "phone_number" | "email" => {
                Ok((value.is_string(), "a text"))
            }
            "email_verified" | "phone_number_verified" => Ok((value.is_boolean(), "true or false")),
            "address" => Ok((
                is_address(value),
                "a table with texts for formatted, street_address, locality, region, postal_code, country",
            )),
            _ => Err("it is not a standard claim of OpenID Connect Core section 5.1"),
        };
        match wanted {
            Err(text) => mistakes.add("claims", format!("{name}: {text}")),
            Ok((false, wanted)) => mistakes.add("claims", format!("{name} must be {wanted}")),
            Ok((true, _)) => {}
        }
    }
}

/// OpenID Connect Core §5.1.1.
fn is_address(value: &Value) -> bool {
    const MEMBERS: [&str; 6] = [
        "formatted",
        "street_address",
        "locality",
        "region",
        "postal_code",
        "country",
    ];
    value.as_object().is_some_and(|address| {
        !address.is_empty()
            && address
                .iter()
                .all(|(name, value)| MEMBERS.contains(&name.as_str()) && value.is_string())
    })
}

/// Checks a password that somebody chose, but for those that were used before: [`prepare_password`] compares them.
///
/// # Errors
/// What is wrong and what is wanted; never the password.
pub fn check_password(registry: &Registry, password: &Secret, whose: Whose<'_>) -> Result<(), String> {
    registry
        .app
        .password_rules
        .check(password, whose)
        .map_err(|refusal| refusal.to_string())
}

/// Reads a TOTP secret as authenticator apps show it: base32 in either case, blanks and padding ignored.
fn read_totp_secret(secret: &Secret) -> Result<Zeroizing<Vec<u8>>, String> {
    let text: String = secret
        .reveal()
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '='))
        .collect();
    let text = Zeroizing::new(text.to_ascii_uppercase());
    let bytes = BASE32_NOPAD
        .decode(text.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| "it must be base32 (RFC 4648 section 6)".to_owned())?;
    if bytes.len() < SHORTEST_TOTP_SECRET {
        return Err(format!(
            "it has {} bytes; at least {SHORTEST_TOTP_SECRET} are needed (RFC 4226 section 4)",
            bytes.len()
        ));
    }
    Ok(bytes)
}

/// A new TOTP secret in base32.
pub fn new_totp_secret(registry: &Registry) -> Secret {
    let bytes = Zeroizing::new(registry.app.entropy.bytes::<TOTP_SECRET>());
    Secret::new(BASE32_NOPAD.encode(bytes.as_slice()))
}

/// Hashes a password that was checked; slow, so outside of any transaction and async task.
///
/// # Errors
/// When too many are being hashed.
pub fn hash(registry: &Registry, password: Secret) -> Result<String, Refused> {
    Ok(registry.app.hasher.hash_blocking(registry.network(), password)?)
}

fn wrap(registry: &Registry, id: &str, totp: &[u8]) -> String {
    registry
        .app
        .master
        .seal(Purpose::TotpSecret, id, totp, registry.app.entropy)
}

/// Writes a draft; `password` is the hash of the draft's.
pub fn write(registry: &Registry, tx: &mut Tx<'_>, draft: &Draft, password: Option<&str>) -> Stored<()> {
    let mut person = draft.person.clone();
    if draft.is_new() {
        person.password = password.map(str::to_owned);
        person.totp_secret = draft.totp.as_ref().map(|totp| wrap(registry, &person.id, totp));
        // Whoever set one of them at the console or by the API knows it, and could act as that person.
        if registry.bounds.is_some() && (person.password.is_some() || person.totp_secret.is_some()) {
            person.password_changed_at = SET_BY_ANOTHER;
        }
    }
    let (kind, action) = match &draft.before {
        None => (Kind::PersonChanged, "added"),
        Some(before) if holds_otherwise(&before.settings, &person.settings) => {
            (Kind::RolesChanged, "changed")
        }
        Some(before) if before.enabled && !person.enabled => (Kind::PersonChanged, "disabled"),
        Some(before) if !before.enabled && person.enabled => (Kind::PersonChanged, "enabled"),
        Some(_) => (Kind::PersonChanged, "changed"),
    };
    if let Some(agency) = &draft.agency {
        noun::register_agency(registry, tx, agency)?;
    }
    let mut event = registry.event(kind, action);
    let left = draft
        .before
        .as_ref()
        .and_then(|before| before.settings.agency.as_ref());
    if let Some(left) = left.filter(|left| person.settings.agency.as_ref() != Some(*left)) {
        // Whoever signs in there is not hers to be here any more.
        let links = identity_providers::unlink_of_agency(tx.conn(), &person.id, left)?;
        event = event.with("links", links.to_string());
    }
    put(registry, tx, draft.before.as_ref(), &person, event)
}

/// Writes the person, the event, and the change if others must know of it.
fn put(
    registry: &Registry,
    tx: &mut Tx<'_>,
    before: Option<&Person>,
    person: &Person,
    event: Event,
) -> Stored<()> {
    people::put(tx.conn(), person)?;
    let has_passkey = passkeys::any(tx.conn(), &person.id)?;
    let mut event = event.person(&person.id);
    if before.is_some_and(|before| before.generation != person.generation) {
        // They are dead by the generation; this tells the clients that were used in them.
        let ended = session::end_all(&registry.app, tx, &person.id, registry.kept_session.as_deref())?;
        event = event.with("sessions_ended", ended.to_string());
    }
    let administers = |person: &Person| person.enabled && console::is_administrative(&person.settings);
    if before.is_some_and(administers) && !administers(person) {
        api_tokens::revoke_of(registry, tx, &person.id)?;
    }
    if let Some(before) = before {
        tell_changes(registry, before, person);
    }
    // Whoever reads the old address must not set the password.
    if before.is_some_and(|before| {
        before.settings.email.is_some() && before.settings.email != person.settings.email
    }) {
        links::end(tx.conn(), &person.id, LinkKind::ALL, registry.app.now())?;
    }
    if let Some(before) = before {
        event = event.with("before", Value::Object(recorded(before, has_passkey)).to_string());
    }
    tx.audit(event.with("after", Value::Object(recorded(person, has_passkey)).to_string()));
    // A person that nobody was told of counts as enabled and of generation 0.
    let known = before.map_or((0, true), |before| (before.generation, before.enabled));
    if known != (person.generation, person.enabled) {
        registry.tell(tx, ChangeKind::Person, &person.id);
    }
    Ok(())
}

/// Tells the person what somebody else changed that opens or redirects the account. Another address is told to both;
/// everything else to the one that was there before.
fn tell_changes(registry: &Registry, before: &Person, after: &Person) {
    let (old, new) = (&before.settings, &after.settings);
    if holds_otherwise(old, new) {
        registry.tell_owner(before, AccountChange::Roles);
    }
    if !before.enabled && after.enabled {
        registry.tell_owner(before, AccountChange::Enabled);
    }
    // An address that counts no more would hear of nothing that follows.
    if old.email != new.email || (old.email_verified && !new.email_verified) {
        registry.tell_owner(before, AccountChange::Address);
    }
    if old.email != new.email {
        registry.tell_owner(after, AccountChange::NewAddress);
    }
}

/// The view, with whether there are factors.
fn recorded(person: &Person, has_passkey: bool) -> Map<String, Value> {
    let mut view = view(person);
    view.insert("has_password".to_owned(), json!(person.password.is_some()));
    view.insert("has_totp".to_owned(), json!(person.totp_secret.is_some()));
    view.insert("has_passkey".to_owned(), json!(has_passkey));
    view
}

/// Locked, for [`put`] writes all of it: what the person's own request writes meanwhile must not be lost.
pub(super) fn found(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<Person> {
    let Some(person) = people::lock_by_username(tx.conn(), username)? else {
        return Ok(mistake(
            "username",
            format!("nobody has the username {username:?}"),
        ));
    };
    // Whatever is done to somebody: it must be somebody whom the actor may change.
    good!(permitted(registry, tx.conn(), Some(&person), &person)?);
    Ok(Ok(person))
}

/// Adds a person who does not exist yet; `password` is the hash of the form's.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn add(
    registry: &Registry,
    tx: &mut Tx<'_>,
    form: &PersonForm,
    password: Option<&str>,
) -> Decided<Person> {
    let username = form.username.clone().unwrap_or_default();
    if people::find_by_username(tx.conn(), &username)?.is_some() {
        return Ok(mistake("username", format!("{username:?} exists already")));
    }
    let sets = form.password.is_some() || form.totp_secret.is_some();
    let bounds = registry.bounds.as_ref();
    if sets && bounds.is_some_and(|bounds| !bounds.may(Area::Administrators, Right::Change)) {
        // Who knows what somebody signs in with is that person, whatever roles she gets later.
        return Ok(mistake(
            if form.password.is_some() {
                "password"
            } else {
                "totp_secret"
            },
            "only an administrator may set what somebody else signs in with: leave it out, and the person gets an invitation",
        ));
    }
    let known = Known::read(tx.conn())?;
    let draft = good!(draft(registry, form, Omitted::Keeps, None, &known));
    good!(permitted(registry, tx.conn(), None, &draft.person)?);
    write(registry, tx, &draft, password)?;
    Ok(Ok(draft.person))
}

/// Names the state of a person; see [`change`].
pub fn version(person: &Person) -> String {
    version_of(&view(person), &person.generation.to_string())
}

/// Changes a person; `expected` is the [`version`] that whoever changes her has seen. A change of roles, and disabling,
/// end sessions and grants.
///
/// # Errors
/// As [`add`]; a mistake with the key [`VERSION`](super::VERSION) when it is another one by now.
pub fn change(
    registry: &Registry,
    tx: &mut Tx<'_>,
    form: &PersonForm,
    manner: Omitted,
    expected: Option<&str>,
) -> Decided<Person> {
    let before = good!(found(registry, tx, form.username.as_deref().unwrap_or_default())?);
    good!(unchanged(expected, &version(&before)));
    let known = Known::read(tx.conn())?;
    let draft = good!(draft(registry, form, manner, Some(&before), &known));
    good!(permitted(registry, tx.conn(), Some(&before), &draft.person)?);
    if draft.differences().is_empty() {
        return Ok(Ok(before));
    }
    write(registry, tx, &draft, None)?;
    Ok(Ok(draft.person))
}

/// Whether whoever acts may make this change. Only an administrator touches those who have, had or get a role of the
/// console: whoever resets the password of an administrator is one. The last administrator stays, unless an operator at
/// the command line says otherwise.
///
/// # Errors
/// What the database says; mistakes are part of the answer.
pub fn permitted(
    registry: &Registry,
    conn: &mut Conn,
    before: Option<&Person>,
    after: &Person,
) -> Decided<()> {
    let Some(bounds) = &registry.bounds else {
        return Ok(Ok(()));
    };
    let may = |area, person: &Person| bounds.may_for(area, Right::Change, person.settings.agency.as_deref());
    if let Some(before) = before.filter(|before| !may(Area::People, before)) {
        // No more than is said where there is nobody.
        return Ok(mistake(
            "username",
            format!("nobody has the username {:?}", before.username),
        ));
    }
    if !may(Area::People, after) {
        return Ok(mistake(
            "agency",
            match &after.settings.agency {
                Some(agency) => belonging::unknown(agency),
                None => "say to which of the agencies that you look after the person belongs".to_owned(),
            },
        ));
    }
    let administrative = |person: &Person| console::is_administrative(&person.settings);
    if (administrative(after) || before.is_some_and(administrative))
        && !bounds.may(Area::Administrators, Right::Change)
    {
        return Ok(mistake(
            "roles",
            "only an administrator may change people who have a role of the console, or give such a role",
        ));
    }
    let made_for = |person: &Person| person.settings.provisioned_by.clone();
    let claims_decide = made_for(after).is_some() && made_for(after) != before.and_then(made_for);
    if claims_decide && !bounds.may(Area::IdentityProviders, Right::Change) {
        return Ok(mistake(
            "provisioned_by",
            "only an administrator may say whose claims decide about a person's roles",
        ));
    }
    if registry.reach(Area::People) != Reach::Everybody {
        good!(said_for_one_agency(conn, before, after)?);
    }
    let mut administers = |person: &Person| -> Stored<bool> {
        let has_role = person.settings.roles.iter().any(|role| role == ADMINISTRATOR);
        Ok(person.enabled && has_role && registered::is_open(conn, person.settings.agency.as_ref())?)
    };
    let did = before.map(&mut administers).transpose()?.unwrap_or(false);
    if did && !administers(after)? && !people::somebody_else_has(conn, ADMINISTRATOR, &after.id)? {
        return Ok(mistake(
            "roles",
            "this is the last administrator: make somebody else one first, or nobody could administer this server",
        ));
    }
    Ok(Ok(()))
}

/// What who looks after one agency may say of somebody: not that she is whom another account stands for, nor how far what
/// she enters can be relied on. FHIR servers believe both.
fn said_for_one_agency(conn: &mut Conn, before: Option<&Person>, after: &Person) -> Decided<()> {
    let old = before.map(|person| &person.settings);
    let new = &after.settings;
    if new.integrity.is_some() && new.integrity != old.and_then(|old| old.integrity) {
        return Ok(mistake(
            "integrity",
            "only someone who looks after everybody may say how far a person's entries can be relied on: ask an administrator",
        ));
    }
    if let Some(npi) = new
        .npi
        .as_ref()
        .filter(|npi| old.and_then(|old| old.npi.as_ref()) != Some(npi))
        && people::somebody_else_has_npi(conn, npi, &after.id)?
    {
        return Ok(mistake("npi", "another account has it: ask an administrator"));
    }
    let said = new.fhir_user.as_ref();
    if let Some(reference) = said.filter(|said| old.and_then(|old| old.fhir_user.as_ref()) != Some(said))
        && people::fhir_users_like(conn, reference, &after.id)?
            .iter()
            .any(|other| may_be_one(other, reference))
    {
        return Ok(mistake(
            "fhir_user",
            "it may be the resource of another account: write the whole address, or ask an administrator",
        ));
    }
    Ok(Ok(()))
}

/// Whether two references to resources of one type and id may mean one: on the same server, as far as both say where.
fn may_be_one(one: &str, other: &str) -> bool {
    let is_absolute = |reference: &str| reference.contains("://");
    !is_absolute(one) || !is_absolute(other) || uris::same_place(one, other)
}

/// Changes a person in one way, unless `change` finds a mistake.
fn alter(
    registry: &Registry,
    tx: &mut Tx<'_>,
    username: &str,
    event: Event,
    change: impl FnOnce(&mut Person) -> Result<(), Vec<Mistake>>,
) -> Decided<Person> {
    let before = good!(found(registry, tx, username)?);
    let mut person = before.clone();
    if let Err(mistakes) = change(&mut person) {
        return Ok(Err(mistakes));
    }
    if person != before {
        good!(permitted(registry, tx.conn(), Some(&before), &person)?);
        person.updated_at = registry.app.now();
        put(registry, tx, Some(&before), &person, event)?;
    }
    Ok(Ok(person))
}

/// Notes that mail to the account's address reaches its person: she has opened a link that was sent there.
pub(super) fn confirm_address(registry: &Registry, tx: &mut Tx<'_>, person: &Person) -> Stored<()> {
    let mut after = person.clone();
    after.settings.email_verified = true;
    after.updated_at = registry.app.now();
    let event = registry.event(Kind::PersonChanged, "address_confirmed");
    put(registry, tx, Some(person), &after, event)
}

/// Replaces the roles. Ends sessions and grants if they change.
pub fn set_roles(registry: &Registry, tx: &mut Tx<'_>, username: &str, roles: &[String]) -> Decided<Person> {
    let event = registry.event(Kind::RolesChanged, "changed");
    let known = Known::read(tx.conn())?;
    alter(registry, tx, username, event, |person| {
        let kind = kind_for(&known, None, person.settings.agency.as_ref());
        let before = person.settings.clone();
        person.settings.roles = check_roles(registry, roles, kind).or_else(|text| mistake("roles", text))?;
        person.generation += i64::from(ends_what_was_given(&before, &person.settings));
        Ok(())
    })
}

/// Gives somebody roles at an agency beside her own, in the place of those that she has there; none: she leaves it. Who
/// looks after that agency decides, and nobody else is asked: it says nothing about the account. Ends sessions and grants
/// where a role is taken away.
pub fn set_membership(
    registry: &Registry,
    tx: &mut Tx<'_>,
    agency: &str,
    username: &str,
    roles: &[String],
) -> Decided<Person> {
    let known = Known::read(tx.conn())?;
    if known.all().get(agency).is_none() || !registry.reach(Area::People).holds_for(Some(agency)) {
        return Ok(mistake("agency", belonging::unknown(agency)));
    }
    let nobody = || mistake("username", format!("nobody has the username {username:?}"));
    let Some(before) = people::lock_by_username(tx.conn(), username)? else {
        return Ok(nobody());
    };
    let reach = registry.reach(Area::People);
    let is_own = reach.holds_for(before.settings.agency.as_deref());
    // Of others no more can be learned than that they have a role here.
    if !is_own && roles.is_empty() && before.settings.membership(agency).is_none() {
        return Ok(nobody());
    }
    let is_home = before.settings.agency.as_deref() == Some(agency);
    let kind = kind_for(&known, None, Some(&agency.to_owned()));
    let roles = match check_roles_there(registry, roles, kind, is_home) {
        Ok(roles) => roles,
        Err(text) => return Ok(mistake("roles", text)),
    };
    let mut person = before.clone();
    let memberships = &mut person.settings.memberships;
    memberships.retain(|membership| membership.agency != agency);
    if !roles.is_empty() {
        memberships.push(Membership {
            agency: agency.to_owned(),
            roles,
        });
        memberships.sort_by(|one, other| one.agency.cmp(&other.agency));
    }
    if person == before {
        return Ok(Ok(before));
    }
    let administrative = [&before, &person]
        .into_iter()
        .any(|person| console::is_administrative(&person.settings));
    let bounds = registry.bounds.as_ref();
    if administrative && bounds.is_some_and(|bounds| !bounds.may(Area::Administrators, Right::Change)) {
        if !is_own {
            return Ok(nobody());
        }
        return Ok(mistake(
            "username",
            "an administrator looks after this account: ask one",
        ));
    }
    if !is_own && has_often_changed(registry, tx.conn(), &before.id)? {
        return Ok(mistake(
            "username",
            "what this person may do has changed many times today: try again tomorrow, or ask an administrator",
        ));
    }
    person.generation += i64::from(ends_what_was_given(&before.settings, &person.settings));
    person.updated_at = registry.app.now();
    let event = registry.event(Kind::RolesChanged, "changed");
    put(registry, tx, Some(&before), &person, event)?;
    Ok(Ok(person))
}

/// Whether the roles of somebody changed so often within a day that who looks after another agency must wait: each time
/// that one is taken away the person is signed out.
fn has_often_changed(registry: &Registry, conn: &mut Conn, person_id: &str) -> Stored<bool> {
    let since_ms = registry.app.clock.now_millis() - 86_400_000;
    let whose = Concerned::Person(person_id.to_owned());
    let changes = audit::last_of(conn, &whose, &[Kind::RolesChanged], since_ms, MOST_CHANGES)?;
    Ok(i64::try_from(changes.len()).unwrap_or(i64::MAX) >= MOST_CHANGES)
}

/// Disables or enables. Disabling ends sessions and grants, and enabling revives none.
pub fn set_enabled(registry: &Registry, tx: &mut Tx<'_>, username: &str, enabled: bool) -> Decided<Person> {
    let event = registry.event(Kind::PersonChanged, if enabled { "enabled" } else { "disabled" });
    alter(registry, tx, username, event, |person| {
        person.generation += i64::from(person.enabled && !enabled);
        if enabled && !person.enabled {
            person.idle_since = registry.app.now();
        }
        person.enabled = enabled;
        Ok(())
    })
}

/// Ends all that a person is signed in to and has allowed, what stays connected as well. She may sign in again.
pub fn revoke_everything(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<Person> {
    let event = registry.event(Kind::PersonChanged, "everything_revoked");
    alter(registry, tx, username, event, |person| {
        person.generation += 1;
        Ok(())
    })
}

/// Deletes a person who was never here: an entry that was a mistake.
pub fn delete(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<Person> {
    let person = good!(found(registry, tx, username)?);
    let mut gone = person.clone();
    gone.enabled = false;
    good!(permitted(registry, tx.conn(), Some(&person), &gone)?);
    if person.last_login_at.is_some() {
        return Ok(mistake(
            "username",
            format!(
                "{username:?} has signed in before, and the record names this account: disable it instead"
            ),
        ));
    }
    let has_passkey = passkeys::any(tx.conn(), &person.id)?;
    api_tokens::revoke_of(registry, tx, &person.id)?;
    let links = identity_providers::links_of_person(tx.conn(), &person.id)?.len();
    people::delete(tx.conn(), &person.id)?;
    let event = registry
        .event(Kind::PersonChanged, "deleted")
        .person(&person.id)
        .with("links", links.to_string());
    tx.audit(event.with(
        "before",
        Value::Object(recorded(&person, has_passkey)).to_string(),
    ));
    // Whatever other processes know of her stands for nobody now.
    registry.tell(tx, ChangeKind::Person, &person.id);
    Ok(Ok(person))
}

/// Who is to get a new password, whether she has a passkey, and the hashes of what she may not choose again.
type Before = Option<(Person, bool, Vec<String>)>;

fn before_password(conn: &mut Conn, username: &str, history: u32) -> Stored<Before> {
    let Some(person) = people::find_by_username(conn, username)? else {
        return Ok(None);
    };
    let mut earlier = Vec::new();
    if let Some(older) = history.checked_sub(1) {
        earlier.extend(person.password.clone());
        earlier.extend(password_history::of(conn, &person.id, older)?);
    }
    let has_passkey = passkeys::any(conn, &person.id)?;
    Ok(Some((person, has_passkey, earlier)))
}

/// Checks the password that somebody is to get, and answers the hashes that it must differ from.
fn check_new(
    registry: &Registry,
    username: &str,
    password: &Secret,
    before: Before,
) -> Result<Vec<String>, Refused> {
    let Some((person, has_passkey, earlier)) = before else {
        return mistake("username", format!("nobody has the username {username:?}"))
            .map_err(Refused::Mistakes);
    };
    check_password(registry, password, Whose::of(&person, has_passkey))
        .or_else(|text| mistake("password", text))
        .map_err(Refused::Mistakes)?;
    Ok(earlier)
}

fn unused(registry: &Registry, hash: Option<String>) -> Result<String, Refused> {
    let used = || PasswordRefused::Used(registry.app.password_rules.history()).to_string();
    hash.ok_or_else(|| {
        Refused::Mistakes(vec![Mistake {
            key: "password".into(),
            text: used(),
        }])
    })
}

/// Checks a new password, compares it with those that the person had, and hashes it: what takes long, and belongs
/// before the transaction in which [`set_password`] gets the hash.
///
/// # Errors
/// What is wrong with the password, or when too many are being hashed.
pub async fn prepare_password(
    registry: &Registry,
    username: &str,
    password: Secret,
) -> Result<String, Refused> {
    let (typed, history) = (username.to_owned(), registry.app.password_rules.history());
    let before = registry
        .app
        .store
        .read(move |conn| before_password(conn, &typed, history))
        .await?;
    let earlier = check_new(registry, username, &password, before)?;
    unused(
        registry,
        registry
            .app
            .hasher
            .hash_unused(registry.network(), password, earlier)
            .await?,
    )
}

/// [`prepare_password`] for threads that run no async tasks.
pub fn prepare_password_blocking(
    registry: &Registry,
    username: &str,
    password: Secret,
) -> Result<String, Refused> {
    let (typed, history) = (username.to_owned(), registry.app.password_rules.history());
    let before = registry
        .app
        .store
        .read_blocking(move |conn| before_password(conn, &typed, history))?;
    let earlier = check_new(registry, username, &password, before)?;
    unused(
        registry,
        registry
            .app
            .hasher
            .hash_unused_blocking(registry.network(), password, earlier)?,
    )
}

/// Sets a password; `hash` is what [`prepare_password`] made of it. Ends sessions and grants.
pub fn set_password(
    registry: &Registry,
    tx: &mut Tx<'_>,
    username: &str,
    password: &Secret,
    hash: &str,
) -> Decided<Person> {
    let before = good!(found(registry, tx, username)?);
    let has_passkey = passkeys::any(tx.conn(), &before.id)?;
    if let Err(text) = check_password(registry, password, Whose::of(&before, has_passkey)) {
        return Ok(mistake("password", text));
    }
    let now = registry.app.now();
    let mut event = registry.event(Kind::PersonChanged, "password_set");
    if before.password_changed_at == SET_BY_ANOTHER {
        // Whoever set it may have the factors too.
        let passkeys = passkeys::remove_all(tx.conn(), &before.id)?;
        recovery_codes::remove_all(tx.conn(), &before.id)?;
        event = event.with("passkeys_removed", passkeys.to_string());
    }
    let person = good!(alter(registry, tx, username, event, |person| {
        if person.password_changed_at == SET_BY_ANOTHER {
            person.totp_secret = None;
        }
        person.password = Some(hash.to_owned());
        person.password_changed_at = now;
        person.generation += 1;
        Ok(())
    })?);
    // The present password is one of those that count.
    let keep = registry.app.password_rules.history().saturating_sub(1);
    match before.password.filter(|_| keep > 0) {
        Some(password) => {
            // Sorts as they were replaced, within one second too.
            let id = format!("{}.{:010}", before.id, before.generation);
            let replaced = Replaced {
                id: &id,
                person_id: &before.id,
                password: &password,
                replaced_at: now,
            };
            password_history::add(tx.conn(), replaced, keep)?;
        }
        None => password_history::prune(tx.conn(), &before.id, keep)?,
    }
    Ok(Ok(person))
}

/// Takes all second factors away, passkeys and recovery codes as well, or leaves a new TOTP secret in base32 as the only
/// one. Ends sessions and grants.
pub fn reset_second_factor(
    registry: &Registry,
    tx: &mut Tx<'_>,
    username: &str,
    new: Option<&Secret>,
) -> Decided<Person> {
    let totp = match new.map(read_totp_secret).transpose() {
        Ok(totp) => totp,
        Err(text) => return Ok(mistake("totp_secret", text)),
    };
    // Locked before anything is removed: a passkey that is being added must not outlive this.
    let id = good!(found(registry, tx, username)?).id;
    let event = registry
        .event(Kind::PersonChanged, "second_factor_reset")
        .with(
            "passkeys_removed",
            passkeys::remove_all(tx.conn(), &id)?.to_string(),
        )
        .with(
            "recovery_codes_removed",
            recovery_codes::remove_all(tx.conn(), &id)?.to_string(),
        );
    let person = good!(alter(registry, tx, username, event, |person| {
        person.totp_secret = totp.map(|totp| wrap(registry, &person.id, &totp));
        person.generation += 1;
        // A role has the next sign-in set up another second factor; without one, the password stands alone.
        if person.totp_secret.is_none()
            && !registry
                .app
                .policy
                .requires_second_factor(&person.settings.all_roles())
        {
            person.password_changed_at = MUST_CHANGE;
        }
        Ok(())
    })?);
    registry.tell_owner(&person, AccountChange::FactorsReset);
    Ok(Ok(person))
}

/// Forgets failed sign-ins and codes, so that the person may try again. Answers whether there were some.
pub fn unlock(registry: &Registry, tx: &mut Tx<'_>, username: &str) -> Decided<bool> {
    let person = good!(found(registry, tx, username)?);
    let locked = lockout::release(&registry.app, tx, &person)?;
    if locked {
        tx.audit(registry.event(Kind::LoginUnlocked, "unlocked").person(&person.id));
    }
    Ok(Ok(locked))
}

/// Disables those who did not sign in for `[login] dormant_days` (NIST SP 800-53 AC-2(3)), in small batches. Where that
/// would be unusually many, it is told a day before: perhaps the clock is wrong, or nobody has used this server for long.
/// Answers how many.
pub async fn disable_dormant(registry: &Registry) -> Result<usize, Refused> {
    let (app, now) = (&registry.app, registry.app.now());
    let Some(before) = lockout::dormant_before(app, now) else {
        return Ok(0);
    };
    let (idle, all, told) = app
        .store
        .read(move |conn| {
            let (idle, all) = people::count_idle_since(conn, before)?;
            Ok((idle, all, installation::dormancy_notice(conn)?))
        })
        .await?;
    let share = (all / DORMANT_SHARE).max(1);
    if idle > share {
        // What was told in a future that did not come, or of much fewer, was told of something else.
        let stands = told.filter(|told| told.at <= now && idle <= told.of + share);
        app.dormancy_is_told.store(true, Ordering::Relaxed);
        match stands {
            Some(told) if now >= told.at + DORMANT_NOTICE_SECONDS => {}
            Some(_) => return Ok(0),
            None => {
                tell_dormancy(registry, Some(DormancyNotice { at: now, of: idle })).await?;
                tracing::warn!(
                    people = idle,
                    "people who were not here for too long will be disabled in a day, unless they sign in: unusually many, so look whether the clock is right"
                );
                return Ok(0);
            }
        }
    }
    let mut disabled = 0;
    loop {
        let ids = app
            .store
            .read(move |conn| people::idle_since(conn, before, DORMANT_BATCH))
            .await?;
        if ids.is_empty() {
            if told.is_some() {
                tell_dormancy(registry, None).await?;
            }
            app.dormancy_is_told.store(false, Ordering::Relaxed);
            return Ok(disabled);
        }
        disabled += registry
            .run(move |registry, tx| {
                let mut count = 0;
                for id in &ids {
                    count += usize::from(disable_if_dormant(registry, tx, id, before)?);
                }
                Ok(Ok(count))
            })
            .await?;
    }
}

/// Remembers, for every server and over restarts, that it was told how many are about to be disabled.
async fn tell_dormancy(registry: &Registry, notice: Option<DormancyNotice>) -> Result<(), Refused> {
    let write = move |tx: &mut Tx<'_>| installation::set_dormancy_notice(tx.conn(), notice);
    Ok(registry.app.store.write(write).await?)
}

/// Answers whether the person was disabled: the last with a role of the console stays, or nobody could look after this
/// server.
fn disable_if_dormant(registry: &Registry, tx: &mut Tx<'_>, id: &str, before: i64) -> Stored<bool> {
    let found = people::lock(tx.conn(), id)?.filter(|person| person.enabled && person.idle_since <= before);
    let Some(known) = found else {
        return Ok(false);
    };
    let mut person = known.clone();
    let mut last_of = None;
    for role in known
        .settings
        .roles
        .iter()
        .filter(|role| console::is_console_role(role))
    {
        if !people::somebody_else_has(tx.conn(), role, &known.id)? {
            last_of = Some(role);
        }
    }
    let event = match last_of {
        Some(role) => {
            person.idle_since = registry.app.now();
            registry
                .event(Kind::PersonChanged, "kept_dormant")
                .with("last_of", role)
        }
        None => {
            person.enabled = false;
            person.generation += 1;
            person.updated_at = registry.app.now();
            registry.event(Kind::PersonChanged, "disabled_dormant")
        }
    };
    let event = event.with("idle_since", known.idle_since.to_string());
    put(registry, tx, Some(&known), &person, event)?;
    Ok(last_of.is_none())
}

/// The hashes of passwords by the key of their username, for several people at once.
pub(super) type Hashes = BTreeMap<String, String>;
