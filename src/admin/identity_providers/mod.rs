//! The agencies whose people sign in with their own accounts, at the console.

pub mod links;

use serde_json::{Map, Value};

use crate::admin::access::{AdminRequest, Answered};
use crate::admin::agencies::agency_field;
use crate::admin::card::Card;
use crate::admin::form::{self, Choice, FieldMistake, Typed};
use crate::admin::lifecycle::Lifecycle;
use crate::admin::noun::field::{Kind, Section, field, section};
use crate::admin::noun::managed::{Asking, Managed, Words, found};
use crate::admin::noun::show::page;
use crate::admin::table::{Cell, Column};
use crate::model::identity_provider::{IdentityProvider, IdentityProviderSettings};
use crate::policy::console::Area;
use crate::registry::identity_providers::redirect_uri;
use crate::store::audit::Concerned;
use crate::store::identity_providers as stored;
use crate::web::guard::PageRefused;

impl Managed for IdentityProviderSettings {
    const AREA: Area = Area::IdentityProviders;
    const PATH: &'static str = "/admin/identity-providers";
    const WORDS: Words = Words {
        many: "Agency sign-in",
        one: "an identity provider",
        lead: "Agencies whose people sign in here with the account that they have at their agency (OpenID Connect), such as Microsoft Entra ID, Okta or Keycloak.",
        empty: "People sign in with a username and password of this server. To let an agency’s people use their own account, register the agency’s identity provider.",
        search: "Name, ID or issuer",
        registered: "provider-registered",
        disabled: "provider-disabled",
    };

    fn concerned(id: &str) -> Concerned {
        Concerned::Provider(id.to_owned())
    }

    fn form_title(asking: &Asking<'_, Self>) -> (String, String) {
        let id = asking.before.map_or("(its ID)", |provider| &provider.id);
        let lead = format!(
            "First the agency registers this server at its identity provider, with the redirect URI {}, and gives you a client ID and a secret.",
            redirect_uri(asking.app, id)
        );
        ("Register an identity provider".to_owned(), lead)
    }

    fn sections(asking: &Asking<'_, Self>) -> Vec<Section> {
        vec![there(asking), accounts(asking), factors()]
    }

    fn said(
        asking: &Asking<'_, Self>,
        _: &Typed,
        mut members: Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<FieldMistake>> {
        // Whose secret is still to be entered can be changed without it.
        if let Some(provider) = asking.before {
            members.insert("secret_later".to_owned(), provider.settings.secret_later.into());
        }
        Ok(members)
    }

    fn texts(provider: &IdentityProvider) -> Vec<&str> {
        vec![&provider.settings.issuer]
    }

    fn columns() -> Vec<Column> {
        vec![Column::new("Issuer")]
    }

    fn cells(_: &AdminRequest, provider: &IdentityProvider) -> Vec<Cell> {
        vec![Cell::code(&provider.settings.issuer)]
    }

    fn lacks(provider: &IdentityProvider) -> Option<&'static str> {
        (!provider.is_ready()).then_some("Secret missing")
    }

    fn actions(admin: &AdminRequest, _: &IdentityProvider) -> Vec<(&'static str, &'static str)> {
        if admin.changes(Self::AREA) {
            vec![("try", "Try it now"), ("link", "Link an account")]
        } else {
            Vec::new()
        }
    }

    async fn cards(admin: &AdminRequest, provider: &IdentityProvider) -> Result<Vec<Card>, PageRefused> {
        let links = links_of(admin, provider).await?;
        let mut cards = Vec::new();
        if provider.enabled && !provider.is_ready() {
            let text = "Our secret at this provider is missing, so no one can sign in with it. Enter it under Change.";
            cards.push(Card {
                problem: true,
                texts: vec![text.to_owned()],
                ..Card::new("lacks-secret", "")
            });
        }
        cards.push(Card {
            texts: vec![
                format!("Accounts that are linked with it: {links}."),
                "Register this redirect URI there:".to_owned(),
            ],
            items: vec![(redirect_uri(&admin.app, &provider.id), String::new())],
            ..Card::new("redirect-uri", "With the agency")
        });
        let roles = provider.settings.roles.iter();
        let console = roles
            .filter(|mapping| mapping.console)
            .map(|mapping| mapping.role.as_str());
        let console: Vec<&str> = console.collect();
        if !console.is_empty() {
            cards.push(Card {
                texts: vec![format!(
                    "Whoever runs this provider can give roles of this console: {}.",
                    console.join(", ")
                )],
                ..Card::new("console-roles", "Roles of this console")
            });
        }
        Ok(cards)
    }

    async fn effects(
        admin: &AdminRequest,
        provider: &IdentityProvider,
        action: Lifecycle,
    ) -> Result<Vec<String>, PageRefused> {
        let links = links_of(admin, provider).await?;
        let texts: &[&str] = match action {
            Lifecycle::Disable => &[
                "No one can sign in with it any more. Everyone who signed in with it is signed out, including you if you did, and applications lose the access they were given then.",
                "You can enable it again.",
            ],
            Lifecycle::Enable => &["People can sign in with it again."],
            Lifecycle::Delete => &[
                "No one can sign in with it any more. Everyone who signed in with it is signed out, including you if you did, and all links between accounts and identities there are removed.",
                "The accounts stay. People without a password need an invitation to sign in again.",
                "You cannot undo this; you can undo disabling it.",
            ],
        };
        let linked = format!("Accounts that are linked with it: {links}.");
        Ok(texts
            .iter()
            .map(|text| (*text).to_owned())
            .chain([linked])
            .collect())
    }
}

/// How many accounts are linked with it.
async fn links_of(admin: &AdminRequest, provider: &IdentityProvider) -> Result<i64, PageRefused> {
    let id = provider.id.clone();
    let counted = admin.app.store.read(move |conn| stored::count_links(conn, &id));
    Ok(counted.await?)
}

fn there(asking: &Asking<'_, IdentityProviderSettings>) -> Section {
    let methods: Vec<Choice> = form::choices(&[
        (
            "client_secret_basic",
            "With a secret, in the header",
            "The usual way.",
        ),
        ("client_secret_post", "With a secret, in the form", ""),
        ("none", "Only with PKCE", "The provider gave us no secret."),
    ]);
    let has_secret = asking.before.is_some_and(|provider| provider.sealed.is_some());
    let hint = if has_secret {
        "Leave it empty to keep the one that is known. It is never shown again."
    } else {
        "As the agency gave it to you. It is never shown again."
    };
    section(
        "At the agency",
        vec![
            field("name", Kind::Text, "Name", "People see it on the button: Sign in with …"),
            field("id", Kind::Text, "ID (optional)", "A short name, part of the redirect URI. Leave it empty to have one made from the name. It cannot be changed later.").only_new(),
            field("issuer", Kind::Text, "Issuer", "Its address exactly as its discovery document says it, such as https://login.agency.example/realms/me."),
            field("client_id", Kind::Text, "Our client ID there", ""),
            field("auth_method", Kind::Radio(methods), "How we prove ourselves there", ""),
            field("secret", Kind::Secret, "Our secret there", hint),
            field("scopes", Kind::Text, "What we ask for (scopes)", "With blanks in between; openid is always asked for.").more(),
        ],
    )
}

fn accounts(asking: &Asking<'_, IdentityProviderSettings>) -> Section {
    let kinds: Vec<Choice> = form::choices(&[
        (
            "linked",
            "Only an account that an administrator has linked",
            "The safest choice.",
        ),
        (
            "invited",
            "The account that was added here for the person",
            "By verified e-mail address or username; only once, and only within the agency.",
        ),
        (
            "create",
            "A new account",
            "Made when someone comes for the first time, with the roles that the claims stand for.",
        ),
    ]);
    section(
        "Whose account",
        vec![
            field(
                "accounts",
                Kind::Radio(kinds),
                "Where does a first sign-in lead?",
                "",
            ),
            field(
                "username_claim",
                Kind::Text,
                "Claim with the username (optional)",
                "Only if the agency says reliably who has which username here.",
            )
            .more(),
            agency_field(
                asking,
                "Agency (optional)",
                "Its ID. New accounts belong to it, and only accounts that belong to it are linked.",
            ),
        ],
    )
}

fn factors() -> Section {
    let again: Vec<Choice> = form::choices(&[
        (
            "max_age",
            "It asks again, and says when the person signed in",
            "The usual way (max_age and auth_time).",
        ),
        (
            "prompt_login",
            "It asks again, but does not say when the person signed in",
            "Only if you have seen it ask for the password again (prompt=login). Someone at an open browser may get around it.",
        ),
        (
            "none",
            "It does not ask again",
            "People who sign certificates then need a password here as well.",
        ),
    ]);
    section(
        "Roles and factors",
        vec![
            field("roles", Kind::Rows(&["claim", "value", "role", "console"]), "Roles by claims (optional)", "One a line, as in: groups | ME-Doctors | medical-examiner. For a role of this console write | console behind it; whoever runs the provider can then give it."),
            field("manage_roles", Kind::Tick, "The claims also decide about accounts that were made here", "Roles that were given here by hand are taken away at the next sign-in, except for those of this console.").more(),
            field("trusted_acr", Kind::Lines, "Values of acr that count as two factors (optional)", "One a line.").more(),
            field("trusted_amr", Kind::Lines, "Values of amr that count as a second factor (optional)", "One a line, such as mfa, otp or hwk.").more(),
            field("reauthenticate", Kind::Radio(again), "When a sign-in has to be fresh, as for signing a certificate", "").more(),
        ],
    )
}

/// `GET /admin/identity-providers/{id}/try`: asks the provider for its documents.
pub async fn examine(admin: AdminRequest) -> Answered {
    let provider = found::<IdentityProviderSettings>(&admin).await?;
    let uri = redirect_uri(&admin.app, &provider.id);
    let findings = admin.app.identity_providers.examine(&provider, &uri).await;
    let items = findings.into_iter().map(|finding| {
        let word = if finding.problem {
            "Problem"
        } else {
            "As it should be"
        };
        (format!("{word}: {}", finding.text), String::new())
    });
    let mut cards = vec![Card {
        items: items.collect(),
        ..Card::new("findings", "What the provider says now")
    }];
    cards.extend(IdentityProviderSettings::cards(&admin, &provider).await?);
    page(&admin, &provider, cards).await
}
