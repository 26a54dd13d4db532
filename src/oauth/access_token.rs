//! Access tokens: JWTs (RFC 9068) or opaque, as the resource server needs them; and whether one is active.

use std::sync::Arc;

use crate::app::App;
use crate::error::Broken;
use crate::issuance::draft::Draft;
use crate::keys::Signed;
use crate::live::token_cache::Known;
use crate::model::resource_server::TokenFormat;
use crate::model::secret::SecretHash;
use crate::model::signing::Algorithm;
use crate::model::token::{AccessToken, LONGEST_LIFE};
use crate::store::{StoreBroken, Stored, Tx, tokens};

/// How far the time of issue may lie ahead, in seconds: the clocks of servers that share a database differ a little.
const AHEAD_SECONDS: i64 = 60;
/// How long the row of an opaque token outlives it, in seconds.
const ROW_OUTLIVES_TOKEN: i64 = 60;

/// A token that was made but not yet written down or answered.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The token itself.
    pub token: String,
    /// Its unique name, for the record.
    pub jti: String,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    opaque: Option<(String, String)>,
}

impl Minted {
    /// Writes the row that an opaque token needs.
    pub fn record(&self, tx: &mut Tx<'_>) -> Stored<()> {
        match &self.opaque {
            Some((hash, claims)) => {
                tokens::add_opaque(tx.conn(), hash, claims, self.exp + ROW_OUTLIVES_TOKEN)
            }
            None => Ok(()),
        }
    }
}

/// Makes a token.
///
/// # Errors
/// When there is no key that signs with the resource server's algorithm.
pub fn mint(app: &App, draft: Draft<'_>, now: i64) -> Result<Minted, Broken> {
    let settings = draft.target.map(|server| &server.settings);
    let claims = draft.into_claims(app.issuer(), app.entropy, now);
    if settings.is_some_and(|settings| settings.token_format == TokenFormat::Opaque) {
        let token = app.entropy.secret();
        let row = serde_json::to_string(&claims).map_err(Broken::defect)?;
        let hash = SecretHash::of(&token).as_str().to_owned();
        return Ok(Minted {
            token,
            jti: claims.jti,
            exp: claims.exp,
            opaque: Some((hash, row)),
        });
    }
    let (algorithm, typ) = settings.map_or((Algorithm::ES256, "at+jwt"), |settings| {
        (settings.signing_alg, settings.token_typ.as_str())
    });
    let token = app
        .live
        .keyring()
        .sign(algorithm, typ, &claims, now)
        .map_err(Broken::defect)?;
    Ok(Minted {
        token,
        jti: claims.jti,
        exp: claims.exp,
        opaque: None,
    })
}

/// The token, if it is ours, whether active or not.
///
/// # Errors
/// What the database says, for opaque tokens.
pub async fn find(app: &App, token: &str) -> Result<Option<Arc<Known>>, Broken> {
    let keyring = app.live.keyring();
    if let Some(known) = app.token_cache.get(token) {
        // A key that was withdrawn takes what it signed along.
        let published = known.kid.as_ref().is_none_or(|kid| keyring.has(kid));
        return Ok(published.then_some(known));
    }
    let (claims, kid) = if token.bytes().filter(|byte| *byte == b'.').count() == 2 {
        match keyring
            .verify::<AccessToken>(token)
            .filter(|signed| is_plausible(app, signed))
        {
            Some(signed) => (signed.claims, Some(signed.kid)),
            None => return Ok(None),
        }
    } else {
        let hash = SecretHash::of(token);
        let row = app
            .store
            .read(move |conn| tokens::find_opaque(conn, hash.as_str()))
            .await?;
        let Some(row) = row else { return Ok(None) };
        (
            serde_json::from_str(&row).map_err(|cause| StoreBroken::stored("opaque token", cause))?,
            None,
        )
    };
    app.token_cache
        .remember(token, claims, kid)
        .map(Some)
        .map_err(Broken::defect)
}

/// Whether we could have issued a token that one of our keys signed: somebody may have stolen a key that has retired.
fn is_plausible(app: &App, signed: &Signed<AccessToken>) -> bool {
    let claims = &signed.claims;
    let lived = claims.exp.saturating_sub(claims.iat);
    claims.iss == app.issuer()
        && (0..=LONGEST_LIFE).contains(&lived)
        && signed
            .retires_at
            .is_none_or(|retires_at| claims.iat <= retires_at)
}

/// Whether a token of ours is active: not expired, and everything it stands on holds.
pub fn is_active(app: &App, claims: &AccessToken, now: i64) -> bool {
    let directory = &app.live;
    let footing = &claims.footing;
    now < claims.exp
        // Signed while the clock was ahead, or by somebody who has the key.
        && claims.iat <= now + AHEAD_SECONDS
        && !directory.token_is_revoked(&claims.jti)
        && directory.client_holds(&claims.client_id, footing.client_generation)
        && footing.grant.as_ref().is_none_or(|grant| {
            !directory.grant_is_revoked(grant)
                && directory.person_holds(&claims.sub, footing.person_generation)
        })
}
