//! Who may do what at the console and its interfaces: one table, deny by default. The roles are those of
//! `[[console_role]]`; a role that is not in the table has no rights here.

use strum::IntoStaticStr;

/// A part of the administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Area {
    /// The picture of the deployment.
    Home,
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
pub const TABLE: [(Area, [Right; 4]); 14] = [
    //                          administrator  client-manager  user-manager  auditor
    (Area::Home,              [READ,          READ,           READ,         READ]),
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

/// What somebody may do: no more than each of some sets of roles may. A person has one; a token of hers has its own, and
/// hers.
#[derive(Debug, Clone)]
pub struct Authority(Vec<Vec<String>>);

impl Authority {
    /// What these roles may do.
    pub fn of(roles: &[String]) -> Self {
        Self(vec![roles.to_vec()])
    }

    /// The same, but no more than these roles may do.
    pub fn within(mut self, roles: &[String]) -> Self {
        self.0.push(roles.to_vec());
        self
    }

    /// The most that may be done there.
    pub fn right(&self, area: Area) -> Right {
        let rights = self.0.iter().map(|roles| right(roles, area));
        rights.min().unwrap_or(Right::None)
    }

    /// Whether something may be done.
    pub fn may(&self, area: Area, wanted: Right) -> bool {
        self.right(area) >= wanted
    }
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
