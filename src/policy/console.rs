//! Who may do what at the console and its interfaces: one table, deny by default. The roles are those of
//! `[[console_role]]`; a role that is not in the table has no rights here.

use std::collections::BTreeSet;

use strum::IntoStaticStr;

use crate::model::agency::Agencies;
use crate::model::person::PersonSettings;

/// A part of the administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Area {
    /// The picture of the deployment.
    Home,
    /// Agencies.
    Agencies,
    /// Clients, their secrets and hand-off sheets.
    Clients,
    /// Resource servers.
    ResourceServers,
    /// Identity providers of agencies.
    IdentityProviders,
    /// People without a role of the console.
    #[strum(serialize = "users")]
    People,
    /// People with a role of the console, and giving or taking such a role.
    Administrators,
    /// Where people are signed in.
    Sessions,
    /// What people allowed clients.
    Grants,
    /// Roles, scopes and dataflows of the policy.
    Policy,
    /// Signing keys.
    Keys,
    /// The record.
    Audit,
    /// Who holds which role, and that somebody looked at it.
    AccessReview,
    /// The whole configuration as an apply file.
    Configuration,
    /// Tokens of the admin API.
    ApiTokens,
}

impl Area {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether looking at it tells of people: that is recorded.
    pub fn tells_of_people(self) -> bool {
        matches!(
            self,
            Self::People | Self::Administrators | Self::Sessions | Self::Grants | Self::AccessReview
        )
    }
}

/// What may be done there; each right holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing.
    None,
    /// Look.
    Read,
    /// Change.
    Change,
}

/// The roles, in the order of the columns of [`TABLE`].
pub const ROLES: [&str; 4] = ["administrator", "client-manager", "user-manager", "auditor"];

const NONE: Right = Right::None;
const READ: Right = Right::Read;
const CHANGE: Right = Right::Change;

/// Who may do what.
#[rustfmt::skip]
pub const TABLE: [(Area, [Right; 4]); 15] = [
    //                          administrator  client-manager  user-manager  auditor
    (Area::Home,              [READ,          READ,           READ,         READ]),
    (Area::Agencies,          [CHANGE,        READ,           READ,         READ]),
    (Area::Clients,           [CHANGE,        CHANGE,         NONE,         READ]),
    (Area::ResourceServers,   [CHANGE,        CHANGE,         NONE,         READ]),
    (Area::IdentityProviders, [CHANGE,        NONE,           NONE,         READ]),
    (Area::People,            [CHANGE,        NONE,           CHANGE,       READ]),
    (Area::Administrators,    [CHANGE,        NONE,           READ,         READ]),
    (Area::Sessions,          [CHANGE,        NONE,           CHANGE,       READ]),
    (Area::Grants,            [CHANGE,        READ,           CHANGE,       READ]),
    (Area::Policy,            [READ,          READ,           READ,         READ]),
    (Area::Keys,              [CHANGE,        NONE,           NONE,         READ]),
    (Area::Audit,             [READ,          NONE,           NONE,         READ]),
    (Area::AccessReview,      [CHANGE,        NONE,           READ,         READ]),
    (Area::Configuration,     [CHANGE,        NONE,           NONE,         READ]),
    (Area::ApiTokens,         [CHANGE,        NONE,           NONE,         READ]),
];

/// The role that holds every right.
pub const ADMINISTRATOR: &str = "administrator";

/// Whether a role is one of the console.
pub fn is_console_role(code: &str) -> bool {
    ROLES.contains(&code)
}

/// Whether one of these is a role of the console.
pub fn is_of_console(roles: &[String]) -> bool {
    roles.iter().any(|role| is_console_role(role))
}

/// The roles that may be given for one agency, in the order of the columns of [`OF_ONE_AGENCY`].
pub const AGENCY_ROLES: [&str; 2] = ["client-manager", "user-manager"];

/// Who may do what about one agency: its clients or people, and nothing of the others.
#[rustfmt::skip]
pub const OF_ONE_AGENCY: [(Area, [Right; 2]); 8] = [
    //                          client-manager  user-manager
    (Area::Home,              [READ,           READ]),
    (Area::Agencies,          [READ,           READ]),
    (Area::Clients,           [CHANGE,         NONE]),
    (Area::People,            [NONE,           CHANGE]),
    (Area::Administrators,    [NONE,           READ]),
    (Area::Sessions,          [NONE,           CHANGE]),
    (Area::Grants,            [NONE,           CHANGE]),
    (Area::Policy,            [READ,           READ]),
];

/// Whether a role may be given for one agency.
pub fn is_agency_role(code: &str) -> bool {
    AGENCY_ROLES.contains(&code)
}

/// Whether somebody has a role of the console, for everybody's affairs or those of one agency.
pub fn is_administrative(settings: &PersonSettings) -> bool {
    is_of_console(&settings.all_roles())
}

/// For whose affairs a right holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Everybody's.
    Everybody,
    /// Those of these agencies, by their ids; none: nobody's.
    Agencies(BTreeSet<String>),
}

impl Reach {
    /// Whether it holds for what belongs to an agency, or to none.
    pub fn holds_for(&self, agency: Option<&str>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Agencies(ids) => agency.is_some_and(|agency| ids.contains(agency)),
        }
    }

    /// Whether it holds for anybody at all.
    pub fn is_somebody(&self) -> bool {
        !matches!(self, Self::Agencies(ids) if ids.is_empty())
    }

    /// The agencies, where it does not hold for everybody.
    pub fn agencies(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Everybody => None,
            Self::Agencies(ids) => Some(ids),
        }
    }

    /// What is known of somebody, without what is other agencies' affair.
    pub fn seen(&self, settings: &PersonSettings) -> PersonSettings {
        let mut seen = settings.clone();
        seen.memberships
            .retain(|membership| self.holds_for(Some(&membership.agency)));
        seen
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everybody, other) | (other, Self::Everybody) => other,
            (Self::Agencies(one), Self::Agencies(other)) => Self::Agencies(&one & &other),
        }
    }
}

/// Roles of somebody: those for everybody's affairs, and those for the affairs of one agency.
#[derive(Debug, Clone)]
struct Held {
    everybody: Vec<String>,
    agencies: Vec<(String, Vec<String>)>,
}

impl Held {
    fn reach(&self, area: Area, wanted: Right) -> Reach {
        if right(&self.everybody, area) >= wanted {
            return Reach::Everybody;
        }
        let held = self
            .agencies
            .iter()
            .filter(|(_, roles)| right_of_one(roles, area) >= wanted);
        Reach::Agencies(held.map(|(agency, _)| agency.clone()).collect())
    }
}

/// What somebody may do: no more than each of some sets of roles may. A person has one; a token of hers has its own, and
/// hers.
#[derive(Debug, Clone)]
pub struct Authority(Vec<Held>);

impl Authority {
    /// What these roles may do, for everybody's affairs.
    pub fn of(roles: &[String]) -> Self {
        Self(vec![Held {
            everybody: roles.to_vec(),
            agencies: Vec::new(),
        }])
    }

    /// What somebody may do. A role for an agency that is disabled does not count.
    pub fn of_person(settings: &PersonSettings, agencies: &Agencies) -> Self {
        let counts = settings
            .memberships
            .iter()
            .filter(|membership| agencies.is_open(Some(&membership.agency)));
        let of_agencies = counts.map(|membership| (membership.agency.clone(), membership.roles.clone()));
        // Who belongs to an agency that is disabled may do nothing, here either.
        let is_open = agencies.is_open(settings.agency.as_ref());
        Self(vec![Held {
            everybody: settings.roles.iter().filter(|_| is_open).cloned().collect(),
            agencies: of_agencies.filter(|_| is_open).collect(),
        }])
    }

    /// The same, but no more than the other.
    pub fn within(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The most that may be done there, about one agency at least.
    pub fn right(&self, area: Area) -> Right {
        let rights = [Right::Change, Right::Read].into_iter();
        let mut held = rights.filter(|right| self.may_somewhere(area, *right));
        held.next().unwrap_or(Right::None)
    }

    /// For whose affairs something may be done.
    pub fn reach(&self, area: Area, wanted: Right) -> Reach {
        let reaches = self.0.iter().map(|held| held.reach(area, wanted));
        reaches
            .reduce(Reach::and)
            .unwrap_or_else(|| Reach::Agencies(BTreeSet::new()))
    }

    /// Whether something may be done, whoever it is about.
    pub fn may(&self, area: Area, wanted: Right) -> bool {
        self.reach(area, wanted) == Reach::Everybody
    }

    /// Whether something may be done about somebody at least.
    pub fn may_somewhere(&self, area: Area, wanted: Right) -> bool {
        self.reach(area, wanted).is_somebody()
    }

    /// Whether something may be done about what belongs to an agency, or to none.
    pub fn may_for(&self, area: Area, wanted: Right, agency: Option<&str>) -> bool {
        self.reach(area, wanted).holds_for(agency)
    }
}

/// The most that one of these roles may do there, where they are held for one agency.
fn right_of_one(roles: &[String], area: Area) -> Right {
    let Some((_, rights)) = OF_ONE_AGENCY.iter().find(|(listed, _)| *listed == area) else {
        return Right::None;
    };
    let held = AGENCY_ROLES
        .iter()
        .zip(rights)
        .filter(|(role, _)| roles.iter().any(|held| held == *role));
    held.map(|(_, right)| *right).max().unwrap_or(Right::None)
}

/// The most that one of these roles may do there.
pub fn right(roles: &[String], area: Area) -> Right {
    let Some((_, rights)) = TABLE.iter().find(|(listed, _)| *listed == area) else {
        return Right::None;
    };
    let held = ROLES
        .iter()
        .zip(rights)
        .filter(|(role, _)| roles.iter().any(|held| held == *role));
    held.map(|(_, right)| *right).max().unwrap_or(Right::None)
}
