//! The tokens that a person's grant gives a client: made the same way for a code and for a refresh.

use super::access_token::{self, Minted};
use super::id_token;
use crate::app::App;
use crate::error::{Broken, Code, OAuthError};
use crate::issuance::draft::Draft;
use crate::issuance::{ClientContext, GrantRequest, Rules, person_claims, standard_claims};
use crate::model::grant::{Grant, GrantFacts};
use crate::model::person::Person;
use crate::model::scope::ScopeSet;
use crate::model::session::ACR_AAL2;
use crate::policy::claims::Place;
use crate::policy::grant::Granted;
use crate::web::parameters::{Parameters, shown};

/// Tokens that were made but not yet written down or answered.
#[derive(Debug, Clone)]
pub struct PersonTokens {
    /// The access token.
    pub access: Minted,
    /// Its lifetime in seconds.
    pub expires_in: i64,
    /// The ID token, with scope `openid`.
    pub id_token: Option<String>,
    /// What was granted.
    pub granted: Granted,
}

/// Makes access token and ID token.
///
/// # Errors
/// When keys or policy are missing.
pub fn mint(
    app: &App,
    context: &ClientContext,
    person: &Person,
    grant: &Grant,
    granted: Granted,
    now: i64,
) -> Result<PersonTokens, Broken> {
    let (facts, rules) = (&grant.facts, Rules::of(app));
    if !facts.scope.covers(&granted.scopes) {
        return Err(Broken::defect(format!("a token beyond grant {}", grant.id)));
    }
    let claims = person_claims(&rules, person, &granted);
    let draft = Draft::of_person(&rules, context, person, grant, &granted, (claims.clone(), now))?;
    let exp = draft.exp;
    let access = access_token::mint(app, draft, now)?;
    let id_token = if granted.scopes.contains("openid") {
        let mut more = claims;
        more.extend(standard_claims(
            &rules,
            context,
            person,
            (&granted.scopes, &facts.claims),
            Place::IdToken,
        )?);
        let draft = id_token::Draft {
            sub: &person.id,
            client_id: &grant.client_id,
            facts,
            access_token: &access.token,
            more,
        };
        Some(id_token::mint(app, draft, now)?)
    } else {
        None
    };
    Ok(PersonTokens {
        expires_in: exp - now,
        access,
        id_token,
        granted,
    })
}

/// Applies the policy anew to a grant, for a token request: what it names must be of the grant, never beyond it.
///
/// # Errors
/// `invalid_target` for another resource (RFC 8707 §2.2), `invalid_request` for another purpose of use, and the policy's
/// refusals.
pub fn grant_again(
    app: &App,
    context: &ClientContext,
    person: &Person,
    facts: &GrantFacts,
    scope: &ScopeSet,
    parameters: &Parameters,
) -> Result<Granted, OAuthError> {
    let audience = context
        .server(facts.target.as_deref())
        .map(|live| live.server.settings.audience.clone());
    let named = parameters.targets()?;
    let targets: Vec<String> = if named.is_empty() {
        audience.into_iter().collect()
    } else {
        named
    };
    let asked = parameters.purposes()?;
    if let Some(other) = asked.iter().find(|code| !facts.purposes.contains(code)) {
        let told = facts.purposes.join(" ");
        let text = format!(
            "purpose_of_use {} was not among those of the authorization request: {told}",
            shown(other)
        );
        return Err(OAuthError::invalid_request(text));
    }
    let ends = |why: String| OAuthError::invalid_grant(format!("{why}; the person must sign in again"));
    if scope.is_empty() {
        return Err(ends(
            "nothing of what was granted can be issued any more".to_owned(),
        ));
    }
    let (second_factor, rules, now) = (facts.acr == ACR_AAL2, Rules::of(app), app.now());
    let grant = |purposes: &[String]| {
        let grant_request = GrantRequest {
            scope: Some(scope),
            targets: &targets,
            purposes,
            authenticated: true,
        };
        context.grant_person(&rules, person, second_factor, grant_request, now)
    };
    let granted = if asked.is_empty() {
        // What the person was told, as far as client and roles still allow it.
        let allowed = grant(&[]).map_err(|error| match error.code {
            Code::AccessDenied | Code::InvalidRequest => ends(error.description),
            _ => error,
        });
        let allowed = allowed?.purposes;
        let kept: Vec<String> = facts
            .purposes
            .iter()
            .filter(|code| allowed.contains(code))
            .cloned()
            .collect();
        if kept.is_empty() && !facts.purposes.is_empty() {
            return Err(ends(
                "no purpose of use that was granted is allowed any more".to_owned(),
            ));
        }
        grant(&kept)
    } else {
        grant(&asked)
    };
    let granted = granted.map_err(|error| match error.code {
        Code::AccessDenied => ends(error.description),
        _ => error,
    })?;
    if granted.target.is_some() && granted.target != facts.target {
        let text = "resource must be the one of the authorization request (RFC 8707 §2.2)";
        return Err(OAuthError::new(Code::InvalidTarget, text));
    }
    Ok(granted)
}
