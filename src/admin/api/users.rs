//! `/users`

use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;

use super::body::Reads;
use super::operation::{About, Answered, Call, Group, Operation, Shape, settled, unchanged};
use super::problem::{MemberMistake, Problem, Type};
use super::query::{Accepts, CURSOR, LIMIT, Parameter, page, parameter};
use super::reply::{Reply, time};
use crate::model::link::LinkKind;
use crate::model::network;
use crate::model::person::{Person, PersonSettings};
use crate::policy::console::{self, Area, Reach, Right};
use crate::registry::import::{self, File, Progress, RowMistake};
use crate::registry::links::{self, Issued};
use crate::registry::people::{self, PersonForm};
use crate::registry::{Decided, Omitted, Refused, Registry, sessions};
use crate::session::lockout;
use crate::store::people::listing::{self, Order, Search, State};
use crate::store::{Stored, Tx, passkeys, people as stored};

/// A person who signs in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
struct View {
    /// Who it is, in tokens too (`sub`).
    id: String,
    /// What the person types to sign in.
    username: String,
    /// Full name.
    name: String,
    /// Whether the person may sign in.
    enabled: bool,
    #[serde(flatten)]
    settings: PersonSettings,
    /// When the person was added.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the entry was last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// The invitation of a person who is new and has no password: in the answer that makes it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation: Option<LinkView>,
}

/// A one-time link.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Link)]
pub(super) struct LinkView {
    /// Whose password it sets.
    user: String,
    /// The link: it is shown this once.
    #[schema(format = "uri")]
    url: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires_at: String,
}

impl LinkView {
    /// What is shown of it.
    pub(super) fn of(issued: &Issued) -> Self {
        Self {
            user: issued.person.username.clone(),
            url: issued.url.reveal().to_owned(),
            expires_at: time(issued.expires_at),
        }
    }
}

/// People of a file, or what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserImport)]
struct ImportView {
    /// How many people the file has.
    people: usize,
    /// Whether they were added: not where it was only checked.
    added: bool,
    /// Their invitations: in this answer, and never again.
    invitations: Vec<LinkView>,
}

const DRY_RUN: [Parameter; 1] = [parameter(
    "dry_run",
    Accepts::Flag,
    "Whether only to check the file. Nobody is added then.",
)];

/// How a person signs in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignIn)]
struct SignInView {
    /// Whether there is a password.
    has_password: bool,
    /// Whether there is an authenticator app.
    has_authenticator: bool,
    /// How many passkeys there are.
    passkeys: usize,
    /// Whether the account is locked after too many failures.
    locked: bool,
    /// When the person last signed in.
    #[schema(format = DateTime)]
    last_sign_in_at: Option<String>,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedOut)]
struct SignedOutView {
    /// How many sessions were open.
    sessions_ended: usize,
}

const LIST: [Parameter; 7] = [
    LIMIT,
    CURSOR,
    parameter(
        "q",
        Accepts::Text,
        "Words of name, username, address or agency, or how they begin. Of more than eight, the eight longest count.",
    ),
    parameter("username", Accepts::Text, "Only the person with this username."),
    parameter("role", Accepts::Text, "Only those with this role."),
    parameter(
        "agency",
        Accepts::Text,
        "Only those who belong to this agency, by its id.",
    ),
    parameter(
        "enabled",
        Accepts::Flag,
        "Only those who may sign in, or only those who may not.",
    ),
];
/// Members of answers that forms do not have.
const READ_ONLY: [&str; 4] = ["id", "provisioned_by", "created_at", "updated_at"];

/// The operations.
pub(super) fn group() -> Group {
    let example = json!({
        "username": "jlehz",
        "name": "Jane Lehz, MD",
        "roles": ["medical-examiner"],
        "agency": "fulton-me",
        "npi": "1234567893",
        "email": "jlehz@fulton.example",
    });
    let operations = vec![
        Operation::get("/users", "listUsers", list)
            .about(About::Own)
            .says("List people", "In the order of their names.")
            .queries(&LIST)
            .answers_page(Shape::of::<View>()),
        Operation::post("/users", "addUser", add)
            .about(About::Own)
            .says("Add a person", "Without a password the answer has an invitation, this once. Only tokens with the scope `admin` give roles of the console.")
            .takes(Reads::Json, Shape::of::<PersonForm>(), example.clone())
            .answers(201, Shape::of::<View>())
            .versioned()
            .named_by_caller(),
        Operation::post("/user-imports", "importUsers", import_file)
            .about(About::Own)
            .says("Import people", "All of a file, or nobody. Everybody gets an invitation, which is in the answer, this once: none is mailed.")
            .queries(&DRY_RUN)
            .takes_file(Reads::Spreadsheet, "Comma-separated values; the first line names the columns.", "username,name,roles\njroe,\"Jane Roe, MD\",medical-examiner\n")
            .answers(200, Shape::of::<ImportView>()),
        Operation::get("/users/{id}", "getUser", get)
            .about(About::Person)
            .says("Look at a person", "")
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::put("/users/{id}", "replaceUser", replace)
            .about(About::Person)
            .says("Replace what is known of a person", "What is left out takes its default; password and second factors stay.")
            .takes(Reads::Json, Shape::of::<PersonForm>(), example)
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::patch("/users/{id}", "changeUser", patch)
            .about(About::Person)
            .says("Change a person", "What is left out stays. A change of roles ends sessions and grants.")
            .takes(Reads::Patch, Shape::of::<PersonForm>(), json!({ "roles": ["data-clerk"] }))
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::get("/users/{id}/sign-in", "getSignIn", sign_in)
            .about(About::Person)
            .says("Say how a person signs in", "Which factors there are, never what they are.")
            .answers(200, Shape::of::<SignInView>()),
        Operation::post("/users/{id}/disable", "disableUser", disable)
            .about(About::Person)
            .says("Disable a person", "Sessions and grants end at once.")
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::post("/users/{id}/enable", "enableUser", enable)
            .about(About::Person)
            .says("Enable a person", "What had ended stays ended.")
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::post("/users/{id}/unlock", "unlockUser", unlock)
            .about(About::Person)
            .says("Unlock an account", "Failed sign-ins and codes are forgotten.")
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::post("/users/{id}/invitation", "inviteUser", invite)
            .about(About::Person)
            .says("Make an invitation", "For somebody who has no password yet. Older links end.")
            .answers(201, Shape::of::<LinkView>()),
        Operation::post("/users/{id}/password-link", "makePasswordLink", password_link)
            .about(About::Person)
            .says("Make a link for a new password", "Older links end.")
            .answers(201, Shape::of::<LinkView>()),
        Operation::post("/users/{id}/second-factor/reset", "resetSecondFactor", reset_second_factor)
            .about(About::Person)
            .says("Take all second factors away", "Sessions and grants end. A role has the next sign-in set up another.")
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::post("/users/{id}/sign-out", "signOutUser", sign_out)
            .about(About::Person)
            .says("Sign a person out everywhere", "What was to stay connected stays.")
            .answers(200, Shape::of::<SignedOutView>()),
        Operation::post("/users/{id}/revoke", "revokeAccessOfUser", revoke)
            .about(About::Person)
            .says("Sign a person out everywhere and take back everything", "Applications that were to stay connected lose it too. The person may sign in again.")
            .answers(200, Shape::of::<View>())
            .versioned(),
        Operation::delete("/users/{id}", "deleteUser", delete)
            .about(About::Person)
            .says("Delete a person who never signed in", "The record names everybody else: disable them instead.")
            .versioned(),
    ];
    let says =
        "People who sign in. Only tokens with the scope `admin` change those who have a role of the console.";
    Group::new("Users", says, Area::People, operations)
}

/// What whoever looks after some agencies sees of a person.
fn view(reach: &Reach, person: &Person, invitation: Option<&Issued>) -> View {
    View {
        id: person.id.clone(),
        username: person.username.clone(),
        name: person.name.clone(),
        enabled: person.enabled,
        settings: reach.seen(&person.settings),
        created_at: time(person.created_at),
        updated_at: time(person.updated_at),
        invitation: invitation.map(LinkView::of),
    }
}

fn reply(reach: &Reach, person: &Person) -> Reply {
    Reply::ok(&view(reach, person, None)).version(people::version(person))
}

/// A person, locked, whom the caller may change.
fn found(tx: &mut Tx<'_>, id: &str, administers: bool) -> Stored<Result<Person, Problem>> {
    let Some(person) = stored::lock(tx.conn(), id)? else {
        return Ok(Err(Problem::not_found("person", id)));
    };
    if !administers && console::is_administrative(&person.settings) {
        let what = "only a token with the scope admin may change people who have a role of the console";
        return Ok(Err(Problem::forbidden(what)));
    }
    Ok(Ok(person))
}

fn administers(call: &Call) -> bool {
    call.caller.may(Area::Administrators, Right::Change)
}

/// Those of an agency, and none but one's own.
fn homes(call: &Call) -> Option<BTreeSet<String>> {
    let Some(agency) = call.query.owned("agency") else {
        return call.reach.agencies().cloned();
    };
    let one = Some(agency).filter(|agency| call.reach.holds_for(Some(agency)));
    Some(one.into_iter().collect())
}

async fn list(call: Call) -> Answered {
    let (query, limit) = (&call.query, call.query.limit());
    let after = query.after::<2>()?;
    if let Some(username) = query.owned("username") {
        let found = call
            .read(move |conn| stored::find_by_username(conn, &username))
            .await?;
        let fits = |person: &Person| {
            call.reach.holds_for(person.settings.agency.as_deref())
                && query
                    .flag("enabled")
                    .is_none_or(|enabled| person.enabled == enabled)
                && query.text("role").is_none_or(|role| {
                    let seen = call.reach.seen(&person.settings);
                    seen.all_roles().iter().any(|held| held == role)
                })
        };
        let rows = found
            .into_iter()
            .filter(|person| after.is_none() && fits(person))
            .collect();
        return Ok(Reply::ok(&page(
            rows,
            limit,
            |_| Vec::new(),
            |person| view(&call.reach, &person, None),
        )));
    }
    let search = Search {
        words: query.owned("q").unwrap_or_default(),
        role: query.owned("role"),
        homes: homes(&call),
        state: match query.flag("enabled") {
            None => State::Any,
            Some(true) => State::Enabled,
            Some(false) => State::Disabled,
        },
        order: Order::Name,
        after: after.map(|[name, id]| (name, id)),
    };
    let rows = call
        .read(move |conn| listing::page(conn, &search, limit + 1))
        .await?;
    let key = |person: &Person| vec![listing::sort_key(Order::Name, person), person.id.clone()];
    Ok(Reply::ok(&page(rows, limit, key, |person| {
        view(&call.reach, &person, None)
    })))
}

async fn add(call: Call) -> Answered {
    let form: PersonForm = call.form(&[])?;
    let hash = match form.password.clone() {
        Some(password) => {
            let network = network::of(call.caller.address);
            call.app.hasher.hash_unused(network, password, Vec::new()).await?
        }
        None => None,
    };
    let reach = call.reach.clone();
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        let username = form.username.clone().unwrap_or_default();
        if stored::find_by_username(tx.conn(), &username)?.is_some() {
            return Ok(Err(Problem::new(
                Type::Exists,
                format!("somebody has the username {username:?} already"),
            )));
        }
        let person = settled!(people::add(registry, tx, &form, hash.as_deref())?);
        let invited = form.password.is_none() && person.enabled;
        let invitation = if invited {
            Some(links::issue(registry, tx, &person, LinkKind::Invitation)?)
        } else {
            None
        };
        let reply = Reply::ok(&view(&reach, &person, invitation.as_ref())).version(people::version(&person));
        Ok(Ok(reply.created().at(&format!("/users/{}", person.id))))
    };
    call.change(job).await
}

async fn get(call: Call) -> Answered {
    let id = call.id.clone();
    let person = call.read(move |conn| stored::find(conn, &id)).await?;
    person
        .map(|person| reply(&call.reach, &person))
        .ok_or_else(|| Problem::not_found("person", &call.id))
}

async fn replace(call: Call) -> Answered {
    alter(call, Omitted::TakesDefault).await
}

async fn patch(call: Call) -> Answered {
    alter(call, Omitted::Keeps).await
}

async fn alter(call: Call, manner: Omitted) -> Answered {
    let mut form: PersonForm = call.form(&READ_ONLY)?;
    let (id, seen, administers) = (call.id.clone(), call.seen.clone(), administers(&call));
    let reach = call.reach.clone();
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        let before = settled!(found(tx, &id, administers)?);
        settled!(unchanged(&seen, &reply(&reach, &before)));
        if form
            .username
            .as_ref()
            .is_some_and(|said| *said != before.username)
        {
            let fault = MemberMistake::member("username", "a username does not change");
            return Ok(Err(Problem::invalid(vec![fault])));
        }
        form.username = Some(before.username);
        let person = settled!(people::change(registry, tx, &form, manner, None)?);
        Ok(Ok(reply(&reach, &person)))
    };
    call.change(job).await
}

async fn sign_in(call: Call) -> Answered {
    let (id, app) = (call.id.clone(), Arc::clone(&call.app));
    let found = call
        .read(move |conn| {
            let Some(person) = stored::find(conn, &id)? else {
                return Ok(None);
            };
            Ok(Some(SignInView {
                has_password: person.password.is_some(),
                has_authenticator: person.totp_secret.is_some(),
                passkeys: passkeys::of_person(conn, &person.id)?.len(),
                locked: lockout::is_person_locked(&app, conn, &person)?,
                last_sign_in_at: person.last_login_at.map(time),
            }))
        })
        .await?;
    found
        .map(|view| Reply::ok(&view))
        .ok_or_else(|| Problem::not_found("person", &call.id))
}

/// Does something to a person, and answers what is known of her then.
async fn act<T: 'static>(
    call: Call,
    act: impl Fn(&Registry, &mut Tx<'_>, &str) -> Decided<T> + Send + 'static,
) -> Answered {
    let (id, administers, reach) = (call.id.clone(), administers(&call), call.reach.clone());
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        let person = settled!(found(tx, &id, administers)?);
        settled!(act(registry, tx, &person.username)?);
        Ok(found(tx, &id, administers)?.map(|person| reply(&reach, &person)))
    };
    call.change(job).await
}

async fn disable(call: Call) -> Answered {
    act(call, |registry, tx, username| {
        people::set_enabled(registry, tx, username, false)
    })
    .await
}

async fn enable(call: Call) -> Answered {
    act(call, |registry, tx, username| {
        people::set_enabled(registry, tx, username, true)
    })
    .await
}

async fn unlock(call: Call) -> Answered {
    act(call, people::unlock).await
}

async fn reset_second_factor(call: Call) -> Answered {
    act(call, |registry, tx, username| {
        people::reset_second_factor(registry, tx, username, None)
    })
    .await
}

/// Makes a link for a person.
async fn issue(
    call: Call,
    make: impl Fn(&Registry, &mut Tx<'_>, &str) -> Decided<Issued> + Send + 'static,
) -> Answered {
    let (id, administers) = (call.id.clone(), administers(&call));
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        let person = settled!(found(tx, &id, administers)?);
        let issued = settled!(make(registry, tx, &person.username)?);
        Ok(Ok(Reply::ok(&LinkView::of(&issued)).created()))
    };
    call.change(job).await
}

async fn invite(call: Call) -> Answered {
    issue(call, links::invite).await
}

async fn password_link(call: Call) -> Answered {
    issue(call, links::reset_link).await
}

async fn revoke(call: Call) -> Answered {
    act(call, people::revoke_everything).await
}

async fn delete(call: Call) -> Answered {
    let (id, seen, administers) = (call.id.clone(), call.seen.clone(), administers(&call));
    let reach = call.reach.clone();
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        let person = settled!(found(tx, &id, administers)?);
        settled!(unchanged(&seen, &reply(&reach, &person)));
        settled!(people::delete(registry, tx, &person.username)?);
        Ok(Ok(Reply::done()))
    };
    call.change(job).await
}

async fn sign_out(call: Call) -> Answered {
    let (id, administers) = (call.id.clone(), administers(&call));
    let job = move |registry: &Registry, tx: &mut Tx<'_>| {
        let person = settled!(found(tx, &id, administers)?);
        let sessions_ended = settled!(sessions::end_all(registry, tx, &person.username)?);
        Ok(Ok(Reply::ok(&SignedOutView { sessions_ended })))
    };
    call.change(job).await
}

async fn import_file(call: Call) -> Answered {
    let (bytes, dry_run) = (call.bytes(), call.query.flag("dry_run").unwrap_or(false));
    let (file, findings) = call
        .prepare(move |registry| {
            let file = File::read(&bytes);
            let findings = import::check(registry, &file, &Arc::default())?;
            Ok::<_, Refused>((file, findings))
        })
        .await?;
    // An import that is sent again with its key is answered from before: by now its people are there.
    if !findings.is_empty() && (dry_run || !call.may_be_known()) {
        return Err(findings.into());
    }
    if dry_run {
        return Ok(Reply::ok(&ImportView {
            people: file.len(),
            added: false,
            invitations: Vec::new(),
        }));
    }
    call.change(move |registry, tx| {
        let progress = Progress::default();
        Ok(match import::perform(registry, tx, &file, &progress)? {
            Ok(issued) => Ok(Reply::ok(&ImportView {
                people: file.len(),
                added: true,
                invitations: issued.iter().map(LinkView::of).collect(),
            })),
            Err(findings) => Err(findings.into()),
        })
    })
    .await
}

impl From<Vec<RowMistake>> for Problem {
    fn from(findings: Vec<RowMistake>) -> Self {
        let told = |finding: RowMistake| MemberMistake {
            pointer: None,
            parameter: None,
            detail: finding.to_string(),
        };
        Self::invalid(findings.into_iter().map(told).collect())
    }
}
