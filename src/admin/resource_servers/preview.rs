//! What a token would say, without issuing one: made by the same code that makes tokens.

use serde_json::{Value, json};

use crate::admin::list_query::ListQuery;
use crate::app::App;
use crate::error::Broken;
use crate::issuance::draft::Draft;
use crate::issuance::{ClientContext, GrantRequest, Rules, person_claims};
use crate::live::token_cache;
use crate::model::client::GrantType;
use crate::model::grant::{ClaimsRequest, Grant, GrantFacts};
use crate::model::person::Person;
use crate::model::resource_server::{ResourceServer, TokenFormat};
use crate::model::scope::ScopeSet;
use crate::model::session::ACR_AAL2;
use crate::model::token::AccessToken;
use crate::policy::grant::Granted;
use crate::session::lockout;
use crate::store::people;

/// Whose token is to be shown.
pub struct Asked {
    /// The client.
    pub client: String,
    /// Who signs in; empty: nobody, or somebody with the role.
    pub username: String,
    /// The role of an example person.
    pub role: String,
    /// The scopes that are asked for; empty: none are named.
    pub scope: String,
}

impl Asked {
    /// What an address says. Who may not see people sees examples alone.
    pub fn of(looked: &ListQuery, sees_people: bool) -> Self {
        let text = |name: &str| looked.get(name).to_owned();
        let username = if sees_people {
            text("username")
        } else {
            String::new()
        };
        Self {
            client: text("client"),
            username,
            role: text("role"),
            scope: text("scope"),
        }
    }
}

/// A token as it would be.
pub struct Preview {
    /// The header of a signed token; none: the token is opaque.
    pub header: Option<String>,
    /// The claims of a signed token.
    pub claims: String,
    /// What introspection answers.
    pub introspection: String,
    /// What was asked for and would not be granted.
    pub narrowed: Vec<String>,
}

/// Why there would be no token.
pub struct Why {
    /// What was asked that makes it so.
    pub parameter: &'static str,
    /// In words.
    pub text: String,
}

impl Why {
    fn new<T>(parameter: &'static str, text: impl Into<String>) -> Result<T, Self> {
        Err(Self {
            parameter,
            text: text.into(),
        })
    }
}

/// The preview, or why there would be no token.
pub async fn of(app: &App, server: &ResourceServer, asked: &Asked) -> Result<Result<Preview, Why>, Broken> {
    let client = app.live.client(&asked.client);
    let uses = |id: &String| *id == server.id;
    let Some(client) = client.filter(|live| live.client.settings.resource_servers.iter().any(uses)) else {
        let text = format!("No client {:?} uses this resource server.", asked.client);
        return Ok(Why::new("client", text));
    };
    let person = match who(app, asked).await? {
        Ok(person) => person,
        Err(text) => return Ok(Why::new("username", text)),
    };
    let scope = match Some(&asked.scope)
        .filter(|text| !text.is_empty())
        .map(|text| text.parse::<ScopeSet>())
    {
        Some(Err(cause)) => return Ok(Why::new("scope", cause.to_string())),
        Some(Ok(scope)) => Some(scope),
        None => None,
    };
    let (context, rules) = (ClientContext::of(&app.live, &client), Rules::of(app));
    let grant = if person.is_some() {
        GrantType::AuthorizationCode
    } else {
        GrantType::ClientCredentials
    };
    if !client.client.may_use(grant) {
        let text = if person.is_some() {
            "This client acts for itself: nobody signs in with it. Choose nobody."
        } else {
            "People sign in with this client. Choose who."
        };
        return Ok(Why::new("role", text));
    }
    // Named, so that a token that would not be for this server is refused.
    let targets = [server.settings.audience.clone()];
    let grant_request = GrantRequest {
        scope: scope.as_ref(),
        targets: &targets,
        purposes: &[],
        authenticated: true,
    };
    let granted = match &person {
        Some(person) => context.grant_person(&rules, person, true, grant_request, app.now()),
        None => context.grant_system(&rules, grant_request),
    };
    let granted = match granted {
        Ok(granted) => granted,
        Err(refused) => {
            let text = format!(
                "There would be no token. {}: {}.",
                refused.code.as_str(),
                refused.description
            );
            return Ok(Why::new("scope", text));
        }
    };
    let claims = claims(app, &context, person.as_ref(), &granted)?;
    Ok(Ok(shown(server, &granted, &claims)?))
}

/// Who signs in, if anybody.
async fn who(app: &App, asked: &Asked) -> Result<Result<Option<Person>, String>, Broken> {
    if !asked.username.is_empty() {
        let username = asked.username.clone();
        let found = app
            .store
            .read(move |conn| people::find_by_username(conn, &username))
            .await?;
        let person = found.filter(|person| lockout::may_sign_in(app, person, app.now()));
        return Ok(person
            .map(Some)
            .ok_or_else(|| format!("Nobody who may sign in has the username {:?}.", asked.username)));
    }
    if asked.role.is_empty() {
        return Ok(Ok(None));
    }
    let mut person = Person::unknown();
    "usr_example".clone_into(&mut person.id);
    "example".clone_into(&mut person.username);
    "Example Person".clone_into(&mut person.name);
    person.settings.roles = vec![asked.role.clone()];
    Ok(Ok(Some(person)))
}

fn claims(
    app: &App,
    context: &ClientContext,
    person: Option<&Person>,
    granted: &Granted,
) -> Result<AccessToken, Broken> {
    let now = app.now();
    let Some(person) = person else {
        return Ok(
            Draft::of_system(&Rules::of(app), context, granted, now)?.into_claims(
                app.issuer(),
                app.entropy,
                now,
            ),
        );
    };
    let client = &context.client.client;
    let grant = Grant {
        id: app.entropy.id("grt"),
        client_id: client.id.clone(),
        person_id: person.id.clone(),
        client_generation: client.generation,
        person_generation: person.generation,
        facts: GrantFacts {
            scope: granted.scopes.clone(),
            target: granted.target.clone(),
            purposes: granted.purposes.clone(),
            // As if the person had just signed in with password and app.
            acr: ACR_AAL2.to_owned(),
            amr: ["pwd", "otp"].map(str::to_owned).to_vec(),
            auth_time: now,
            nonce: None,
            claims: ClaimsRequest::default(),
            session: String::new(),
            identity_provider: None,
        },
        created_at: now,
        revoked_at: None,
        purge_at: now,
    };
    let claims = person_claims(&Rules::of(app), person, granted);
    Ok(
        Draft::of_person(&Rules::of(app), context, person, &grant, granted, (claims, now))?.into_claims(
            app.issuer(),
            app.entropy,
            now,
        ),
    )
}

fn shown(server: &ResourceServer, granted: &Granted, claims: &AccessToken) -> Result<Preview, Broken> {
    let settings = &server.settings;
    let header = json!({ "alg": settings.signing_alg, "typ": settings.token_typ });
    Ok(Preview {
        header: (settings.token_format == TokenFormat::Jwt).then(|| format!("{header:#}")),
        claims: format!("{:#}", serde_json::to_value(claims).map_err(Broken::defect)?),
        introspection: format!(
            "{:#}",
            Value::Object(token_cache::answer(claims).map_err(Broken::defect)?)
        ),
        narrowed: granted.narrowed.iter().map(ToString::to_string).collect(),
    })
}
