//! What decides about every grant beside the facts of a request: the policy, and what the installation sets.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::app::App;
use crate::model::agency::Agencies;
use crate::policy::Policy;

/// The policy and the settings that decide what a token may say, and for how long.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// Roles, scopes, dataflows, claims.
    pub policy: &'a Policy,
    /// The agencies of people: which are there, and which are enabled.
    pub agencies: Arc<Agencies>,
    /// The issuer identifier.
    pub issuer: &'a str,
    /// Where the installation is, for those whose agency says nothing else.
    pub jurisdiction: Option<&'a str>,
    /// Where a day begins and ends: a licence holds until the end of its last day.
    pub time_zone: &'a TimeZone,
    /// How long an access token of a person may live, in seconds.
    pub access_seconds: i64,
    /// How long one of a system may, in seconds.
    pub system_access_seconds: i64,
    /// How long after a sign-in somebody may certify, in seconds.
    pub certify_seconds: i64,
}

impl<'a> Rules<'a> {
    /// Those of this server.
    pub fn of(app: &'a App) -> Self {
        let tokens = &app.config.tokens;
        Self {
            policy: &app.policy,
            agencies: app.live.agencies(),
            issuer: app.issuer(),
            jurisdiction: app.config.server.jurisdiction.as_deref(),
            time_zone: &app.config.policy.time_zone,
            access_seconds: tokens.access_seconds,
            system_access_seconds: tokens.system_access_seconds,
            certify_seconds: tokens.certify_minutes * 60,
        }
    }

    /// Until when a sign-in is fresh enough to certify, in seconds since the epoch.
    pub fn certify_ends(&self, auth_time: i64) -> i64 {
        auth_time + self.certify_seconds
    }
}
