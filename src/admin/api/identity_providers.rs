//! `/identity-providers`

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::body::Reads;
use super::noun::{self, Words, view};
use super::operation::{self, About, Answered, Call, Group, Operation, Shape, settled};
use super::query::{CURSOR, LIMIT, Parameter, page};
use super::reply::{Reply, time};
use crate::audit::event::Kind;
use crate::model::identity_provider::{IdentityProviderSettings, LinkedIdentity};
use crate::policy::console::Area;
use crate::registry::identity_providers;
use crate::store::{StoreBroken, Stored, Tx, identity_providers as stored, people};

const LIST: [Parameter; 2] = [LIMIT, CURSOR];

/// An identity at the provider, and whose account it opens here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LinkedIdentity)]
struct LinkView {
    /// Who it is there: the claim `sub`.
    subject: String,
    /// What the person types to sign in here.
    username: String,
    /// The person's id.
    user_id: String,
    /// Since when.
    #[schema(format = DateTime)]
    linked_at: String,
    /// When somebody last signed in by it.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl LinkView {
    fn of(link: LinkedIdentity, username: String) -> Self {
        Self {
            subject: link.subject,
            username,
            user_id: link.person_id,
            linked_at: time(link.linked_at),
            last_used_at: link.last_used_at.map(time),
        }
    }
}

/// Which account an identity is to open.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct LinkForm {
    /// Who it is there: the claim `sub`, exactly as the provider says it.
    #[schema(required, min_length = 1, max_length = 255)]
    subject: String,
    /// What the person types to sign in here.
    #[schema(required, min_length = 1)]
    username: String,
}

/// Which identity is to open no account any more.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct UnlinkForm {
    /// Who it is there: the claim `sub`, exactly as the provider says it.
    #[schema(required, min_length = 1, max_length = 255)]
    subject: String,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Unlinked)]
struct UnlinkedView {
    /// How many sessions of the person were ended that began there.
    sessions_ended: usize,
}

/// The operations.
pub(super) fn group() -> Group {
    let words = Words {
        path: "/identity-providers",
        one: "IdentityProvider",
        several: "IdentityProviders",
        about: About::Everybody,
        list: &LIST,
        example: json!({
            "id": "fulton",
            "name": "Fulton County",
            "issuer": "https://idp.fulton.example",
            "client_id": "mdi-auth",
            "auth_method": "none",
        }),
        change: json!({ "name": "Fulton County ME" }),
        says: [
            "What is left out takes its default. `secret` is ours there; it is never answered.",
            "The accounts stay, but nobody signs in to them with it any more. Who signed in with it is signed out.",
            "Nobody can sign in with it any more, and who did is signed out.",
            "People can sign in with it again.",
            "",
        ],
    };
    let mut operations = noun::operations::<IdentityProviderSettings, _>(&words, list);
    operations.extend([
        Operation::get("/identity-providers/{id}/links", "listLinkedIdentities", links)
            .says("List whose accounts are linked with it", "By the claim `sub`.")
            .queries(&LIST)
            .answers_page(Shape::of::<LinkView>()),
        Operation::post("/identity-providers/{id}/links", "linkIdentity", link)
            .says(
                "Link an account with an identity there",
                "Whoever signs in there as this identity is let into the account: make sure who it is.",
            )
            .takes(
                Reads::Json,
                Shape::of::<LinkForm>(),
                json!({ "subject": "00u8f2kq1", "username": "jlehz" }),
            )
            .answers(201, Shape::of::<LinkView>()),
        Operation::post("/identity-providers/{id}/unlink", "unlinkIdentity", unlink)
            .says(
                "Unlink an account from an identity there",
                "The account stays. What the person began with a sign-in there ends.",
            )
            .takes(
                Reads::Json,
                Shape::of::<UnlinkForm>(),
                json!({ "subject": "00u8f2kq1" }),
            )
            .answers(200, Shape::of::<UnlinkedView>()),
    ]);
    Group::new(
        "Identity providers",
        "Providers of agencies that people may sign in with (OpenID Connect).",
        Area::IdentityProviders,
        operations,
    )
}

async fn list(call: Call) -> Answered {
    let after = call.query.after::<1>()?.map(|[id]| id);
    let mut all = call.app.live.identity_providers();
    all.retain(|provider| after.as_ref().is_none_or(|after| provider.id > *after));
    all.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Reply::ok(&page(
        all,
        call.query.limit(),
        |provider| vec![provider.id.clone()],
        |provider| view(&provider, None),
    )))
}

async fn links(call: Call) -> Answered {
    noun::read::<IdentityProviderSettings>(&call).await?;
    let at = format!("{}/identity-providers/{}/links", super::address::BASE, call.id);
    operation::note_look(&call.app, &call.caller, Kind::PeopleRead, at).await?;
    let after = call.query.after::<1>()?.map(|[subject]| subject);
    let (id, limit) = (call.id.clone(), call.query.limit());
    let rows = call
        .read(move |conn| stored::links_of_provider(conn, &id, &after.unwrap_or_default(), limit + 1))
        .await?;
    Ok(Reply::ok(&page(
        rows,
        limit,
        |(link, _)| vec![link.subject.clone()],
        |(link, username)| LinkView::of(link, username),
    )))
}

async fn link(call: Call) -> Answered {
    let (id, form) = (call.id.clone(), call.form::<LinkForm>(&[])?);
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(noun::found::<IdentityProviderSettings>(tx, &id)?);
        let link = settled!(identity_providers::link(
            registry,
            tx,
            &id,
            &form.subject,
            &form.username
        )?);
        let username = username_of(tx, &link)?;
        Ok(Ok(Reply::ok(&LinkView::of(link, username)).created()))
    };
    call.change(job).await
}

/// As it is registered, whatever letters were typed.
fn username_of(tx: &mut Tx<'_>, link: &LinkedIdentity) -> Stored<String> {
    let person = people::find(tx.conn(), &link.person_id)?;
    person
        .map(|person| person.username)
        .ok_or_else(|| StoreBroken::Defect("somebody was linked who is not there".to_owned()))
}

async fn unlink(call: Call) -> Answered {
    let (id, form) = (call.id.clone(), call.form::<UnlinkForm>(&[])?);
    let job = move |registry: &_, tx: &mut Tx<'_>| {
        settled!(noun::found::<IdentityProviderSettings>(tx, &id)?);
        let sessions_ended = settled!(identity_providers::unlink(
            registry,
            tx,
            &id,
            &form.subject,
            None
        )?);
        Ok(Ok(Reply::ok(&UnlinkedView { sessions_ended })))
    };
    call.change(job).await
}
