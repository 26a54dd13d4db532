//! The grant: requested ∩ client ∩ role ∩ resource server, letter by letter within a scope. Pure, deny by default, and
//! it says by name what was not granted and why. People are narrowed and told; systems are refused.

use std::fmt;

use thiserror::Error;

use crate::model::{
    kind::Kind,
    scope::{Level, Scope, ScopeSet},
    security_label::Confidentiality,
};

use super::{Askers, Policy, dataflow::Dataflow, role::Role};

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum Asker<'a> {
    /// A client for itself, by client credentials.
    System,
    /// A signed-in person, through a client.
    Person {
        /// Role codes of an account that is in good standing.
        roles: &'a [String],
        /// Its roles that do not count any more, because a licence has ended.
        lapsed: &'a [String],
        /// True if the session has passed a second factor.
        second_factor: bool,
        /// The person's own purposes of use, where they were set.
        purposes: Option<&'a [String]>,
        /// The person's own clearance, where it was set.
        clearance: Option<Confidentiality>,
    },
}

/// A resource server that the client may use.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its FHIR base, which requests name.
    pub audience: &'a str,
    /// What sort of system it is.
    pub kind: Kind,
    /// Its own list of scopes. Without one it offers what its kind's dataflows use; to `custom` clients, and as
    /// `other`, it sets no limit, since nothing is known of it and an administrator has joined the two.
    pub scopes: Option<&'a ScopeSet>,
}

/// A request for access, with the facts that decide it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who asks.
    pub asker: Asker<'a>,
    /// The client's dataflow.
    pub dataflow: &'a Dataflow,
    /// The client's own scopes: narrows the dataflow; for `custom` it is the ceiling.
    pub client_scopes: Option<&'a ScopeSet>,
    /// The client's own purposes of use; narrows likewise.
    pub client_purposes: Option<&'a [String]>,
    /// The client's own clearance.
    pub client_clearance: Option<Confidentiality>,
    /// The enabled resource servers that the client may use.
    pub targets: &'a [Target<'a>],
    /// `scope`; none asks for the dataflow's default, an empty one for nothing.
    pub requested: Option<&'a ScopeSet>,
    /// The values of `resource` (RFC 8707), `aud` (SMART) and `audience`.
    pub named: &'a [String],
    /// The codes of `purpose_of_use`; none asks for all that are allowed.
    pub purposes: &'a [String],
}

/// What is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The scopes; never empty.
    pub scopes: ScopeSet,
    /// Id of the resource server whose base is the audience; `None`: no scope of one was granted, `aud` is the issuer.
    pub target: Option<String>,
    /// The roles that counted, for the claims; empty for systems.
    pub roles: Vec<String>,
    /// Purposes of use.
    pub purposes: Vec<String>,
    /// The most confidential data that may be seen.
    pub clearance: Option<Confidentiality>,
    /// What was asked and not granted, or not whole.
    pub narrowed: Vec<Narrowed>,
}

/// A requested scope that was not granted whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// The scope as requested.
    pub scope: String,
    /// What this reason left of it, separated by spaces; may be empty.
    pub left: String,
    /// Why.
    pub reason: Reason,
}

/// Why a scope was narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The scope is for people who sign in.
    PeopleOnly,
    /// The scope is for systems.
    SystemsOnly,
    /// No dataflow grants the scope.
    NeverGranted,
    /// It is limited by a search that neither the client's dataflow nor its own list has.
    UnknownConstraint,
    /// The client's dataflow, or its own list, does not have it.
    NotOfClient,
    /// None of the person's roles may hold it.
    NotOfRole,
    /// A role may hold it whose licence has ended.
    LicenceEnded,
    /// A role may hold it, but counts only after a second factor.
    SecondFactorMissing,
    /// The client has no resource server.
    NoResourceServer,
    /// The client's dataflow does not go to this kind of resource server.
    WrongKind,
    /// The resource server does not offer it.
    NotOffered,
}

/// Why nothing is granted. The text is for the engineer who reads `error_description` and keeps to its characters.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// RFC 8707 §2.
    #[error("{what}{}", others(offered))]
    InvalidTarget {
        /// What is wrong.
        what: String,
        /// The audiences that would be right; none where the text says all.
        offered: Vec<String>,
    },
    /// RFC 6749 §5.2.
    #[error("{0}")]
    InvalidScope(String),
    /// RFC 6749 §4.1.2.1: the person may not have this.
    #[error("{0}")]
    AccessDenied(String),
    /// A `purpose_of_use` that is unknown or not allowed, or none where one is required.
    #[error("{0}")]
    PurposeRefused(String),
}

fn others(offered: &[String]) -> String {
    match offered {
        [] => String::new(),
        offered => format!("; it may use {}", list(offered)),
    }
}

impl Refused {
    /// The text for somebody who has not authenticated: which resource servers a client may use is the client's affair.
    pub fn to_strangers(&self) -> String {
        match self {
            Self::InvalidTarget { what, offered } if !offered.is_empty() => {
                format!("{what}; its hand-off sheet lists them")
            }
            other => other.to_string(),
        }
    }

    /// The `error` that goes with it.
    pub fn oauth_code(&self) -> &'static str {
        match self {
            Self::InvalidTarget { .. } => "invalid_target",
            Self::InvalidScope(_) => "invalid_scope",
            Self::AccessDenied(_) => "access_denied",
            Self::PurposeRefused(_) => "invalid_request",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeopleOnly => "only people who sign in may have it",
            Self::SystemsOnly => "only systems may have it, by client_credentials",
            Self::NeverGranted => "no dataflow grants it",
            Self::UnknownConstraint => {
                "its constraint is none that the client's dataflow or its own scopes list"
            }
            Self::NotOfClient => "the client's dataflow or its own scopes do not have it",
            Self::NotOfRole => "none of the person's roles may hold it",
            Self::LicenceEnded => "the licence on file for the person's role has ended",
            Self::SecondFactorMissing => "the person's role counts only after a second factor",
            Self::NoResourceServer => "the client has no resource server",
            Self::WrongKind => "the client's dataflow does not go to this kind of resource server",
            Self::NotOffered => "the resource server does not offer it",
        })
    }
}

impl fmt::Display for Narrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left.as_str() {
            "" => write!(f, "{}: {}", self.scope, self.reason),
            left => write!(f, "{} (only {left}): {}", self.scope, self.reason),
        }
    }
}

impl Policy {
    /// Decides what is granted.
    ///
    /// # Errors
    /// [`Refused`], with the reason by name.
    pub fn grant(&self, ask: &Ask<'_>) -> Result<Granted, Refused> {
        let ceiling = ask.dataflow.ceiling(ask.client_scopes);
        let requested = ask.requested;
        let roles = self.effective_roles(&ask.asker);
        let held: ScopeSet = roles
            .iter()
            .flat_map(|role| role.scopes.iter().cloned())
            .collect();

        let mut sieve = Sieve::new(requested.unwrap_or(&ceiling));
        sieve.pass(|scope| self.open_to(&ask.asker, scope));
        sieve.pass(|scope| (constraint_of(scope, &ceiling), Reason::UnknownConstraint));
        sieve.pass(|scope| (scope.within(&ceiling), Reason::NotOfClient));
        let target = ask.target(sieve.any(|scope| self.opens_resource_server(scope)))?;
        sieve.pass(|scope| self.of_role(&ask.asker, &held, scope));
        sieve.pass(|scope| self.of_target(target, ask.dataflow, scope));

        let opens = sieve.any(|scope| self.opens_resource_server(scope));
        let refuse = |left_open: &str| sieve.refusal(&ask.asker, left_open);
        // Names that nobody knows, such as launch/patient, ask for nothing at a resource server.
        let known = |scope: &Scope| {
            scope.level().is_some() || !scope.within(&ceiling).is_empty() || self.knows(scope)
        };
        let wanted_target = sieve
            .asked
            .iter()
            .any(|row| self.opens_resource_server(&row.scope) && known(&row.scope));
        if matches!(ask.asker, Asker::System) && requested.is_some() && !sieve.narrowed.is_empty() {
            return Err(refuse("not granted"));
        }
        if !sieve.any(|_| true) {
            return Err(refuse("nothing can be granted"));
        }
        if !opens && wanted_target && (!ask.named.is_empty() || matches!(ask.asker, Asker::System)) {
            return Err(refuse("nothing can be granted at the resource server"));
        }
        Ok(Granted {
            scopes: sieve
                .asked
                .into_iter()
                .flat_map(|row| row.left)
                .collect::<ScopeSet>()
                .without_doubles(),
            target: target.filter(|_| opens).map(|target| target.id.into()),
            purposes: self.purposes(ask, &roles, opens)?,
            clearance: clearance(ask, &roles),
            roles: roles.iter().map(|role| role.code.clone()).collect(),
            narrowed: if requested.is_some() {
                sieve.narrowed
            } else {
                Vec::new()
            },
        })
    }

    fn knows(&self, scope: &Scope) -> bool {
        matches!(scope, Scope::Named(name) if self.named_scope(name).is_some())
    }

    /// The roles that count: known, and with the second factor where one is needed.
    fn effective_roles(&self, asker: &Asker<'_>) -> Vec<&Role> {
        match asker {
            Asker::System => Vec::new(),
            Asker::Person {
                roles, second_factor, ..
            } => {
                let known = roles.iter().filter_map(|code| self.role(code));
                known
                    .filter(|role| *second_factor || !role.second_factor)
                    .collect()
            }
        }
    }

    /// Whether this sort of asker may have the scope at all.
    fn open_to(&self, asker: &Asker<'_>, scope: &Scope) -> (Vec<Scope>, Reason) {
        let askers = match scope {
            Scope::Named(name) => self.named_scope(name).map_or(Askers::Both, |named| named.askers),
            Scope::Smart(smart) if smart.level() == Level::System => Askers::Systems,
            Scope::Smart(_) => Askers::People,
        };
        match (askers, asker) {
            (Askers::None, _) => (Vec::new(), Reason::NeverGranted),
            (Askers::People, Asker::System) => (Vec::new(), Reason::PeopleOnly),
            (Askers::Systems, Asker::Person { .. }) => (Vec::new(), Reason::SystemsOnly),
            _ => (vec![scope.clone()], Reason::NeverGranted),
        }
    }

    /// What the person's roles leave, of which those that count hold `held`. Scopes that tell who he is need no role.
    fn of_role(&self, asker: &Asker<'_>, held: &ScopeSet, scope: &Scope) -> (Vec<Scope>, Reason) {
        let (roles, lapsed) = match asker {
            Asker::Person { roles, lapsed, .. } if !scope.is_identity() => (roles, lapsed),
            _ => return (vec![scope.clone()], Reason::NotOfRole),
        };
        let left = scope.within(held);
        let reason = if scope.within(&self.may_hold(roles)) != left {
            Reason::SecondFactorMissing
        } else if scope.within(&self.may_hold(&[*roles, *lapsed].concat())) != left {
            Reason::LicenceEnded
        } else {
            Reason::NotOfRole
        };
        (left, reason)
    }

    /// What the resource server leaves.
    fn of_target(
        &self,
        target: Option<&Target<'_>>,
        dataflow: &Dataflow,
        scope: &Scope,
    ) -> (Vec<Scope>, Reason) {
        if !self.opens_resource_server(scope) {
            return (vec![scope.clone()], Reason::NotOffered);
        }
        let Some(target) = target else {
            return (Vec::new(), Reason::NoResourceServer);
        };
        if target.kind != Kind::Other && !dataflow.serves(target.kind) {
            return (Vec::new(), Reason::WrongKind);
        }
        let left = match target.scopes {
            Some(own) => scope.within(own),
            None if dataflow.as_written || target.kind == Kind::Other => vec![scope.clone()],
            None => scope.within(self.catalogue(target.kind)),
        };
        (left, Reason::NotOffered)
    }

    /// The purposes of use: all that are allowed, or those of them that were asked.
    fn purposes(&self, ask: &Ask<'_>, roles: &[&Role], opens: bool) -> Result<Vec<String>, Refused> {
        let mut allowed = ask.dataflow.purposes(ask.client_purposes);
        if let Asker::Person { purposes: own, .. } = ask.asker {
            allowed.retain(|code| roles.iter().any(|role| role.purposes.contains(code)));
            allowed.retain(|code| own.is_none_or(|own| own.contains(code)));
        }
        if let Some(unknown) = ask
            .purposes
            .iter()
            .find(|code| !self.vocabulary.is_purpose_of_use(code))
        {
            let unknown = printable(unknown);
            return Err(Refused::PurposeRefused(format!(
                "purpose_of_use {unknown} is not a PurposeOfUse code of v3-ActReason, such as HDECD"
            )));
        }
        if let Some(excess) = ask.purposes.iter().find(|code| !allowed.contains(code)) {
            let allowed = list(&allowed);
            return Err(Refused::PurposeRefused(format!(
                "purpose_of_use {excess} is not allowed here; {allowed} is"
            )));
        }
        if allowed.is_empty() && opens && ask.dataflow.purpose_required {
            let dataflow = &ask.dataflow.id;
            return Err(match ask.asker {
                Asker::System => Refused::PurposeRefused(format!(
                    "the dataflow {dataflow} requires a purpose of use and the client has none of its purposes"
                )),
                Asker::Person { .. } => Refused::AccessDenied(format!(
                    "the dataflow {dataflow} requires a purpose of use, and the client, the person's roles and the \
                     person have none in common"
                )),
            });
        }
        let wanted = if ask.purposes.is_empty() {
            &allowed
        } else {
            ask.purposes
        };
        let mut granted: Vec<String> = Vec::new();
        for code in wanted {
            if !granted.contains(code) {
                granted.push(code.clone());
            }
        }
        Ok(granted)
    }
}

/// The lowest of the client's clearance, the person's own, and the highest of his roles. Without a role that is cleared
/// for anything, a person is not.
fn clearance(ask: &Ask<'_>, roles: &[&Role]) -> Option<Confidentiality> {
    let Asker::Person { clearance: own, .. } = ask.asker else {
        return ask.client_clearance;
    };
    let highest = roles.iter().filter_map(|role| role.clearance).max()?;
    [own, ask.client_clearance]
        .into_iter()
        .flatten()
        .chain([highest])
        .min()
}

impl<'a> Ask<'a> {
    /// The one resource server of this request: the one that is named, or the client's only one. `needed`: a scope of a
    /// resource server was asked that the client has.
    fn target(&self, needed: bool) -> Result<Option<&'a Target<'a>>, Refused> {
        let offered = || {
            self.targets
                .iter()
                .map(|target| target.audience.to_owned())
                .collect()
        };
        let mut found: Option<&Target<'_>> = None;
        for value in self.named {
            let same = |target: &&Target<'_>| without_slash(target.audience) == without_slash(value);
            let Some(target) = self.targets.iter().find(same) else {
                let value = printable(value);
                return Err(Refused::InvalidTarget {
                    what: format!("{value} is not the audience of a resource server of this client"),
                    offered: offered(),
                });
            };
            if found.is_some_and(|other| other.id != target.id) {
                return Err(Refused::InvalidTarget {
                    what: "resource, aud and audience name two resource servers; a token is for one, so ask once for each"
                        .into(),
                    offered: Vec::new(),
                });
            }
            found = Some(target);
        }
        match (found, self.targets) {
            (None, [only]) => Ok(Some(only)),
            (None, [_, _, ..]) if needed => Err(Refused::InvalidTarget {
                what: "this client has several resource servers; name one with the parameter resource".into(),
                offered: offered(),
            }),
            (found, _) => Ok(found),
        }
    }
}

/// Requested scopes on their way through the stages, and what each stage took.
struct Sieve {
    asked: Vec<Row>,
    narrowed: Vec<Narrowed>,
}

struct Row {
    scope: Scope,
    left: Vec<Scope>,
}

impl Sieve {
    fn new(asked: &ScopeSet) -> Self {
        let row = |scope: &Scope| Row {
            scope: scope.clone(),
            left: vec![scope.clone()],
        };
        Self {
            asked: asked.iter().map(row).collect(),
            narrowed: Vec::new(),
        }
    }

    /// Puts each scope, or what is left of it, through `stage`, which gives the pieces it leaves and its reason.
    fn pass(&mut self, stage: impl Fn(&Scope) -> (Vec<Scope>, Reason)) {
        for row in &mut self.asked {
            let mut left = Vec::new();
            let mut why = None;
            for piece in &row.left {
                let (pieces, reason) = stage(piece);
                if pieces != [piece.clone()] {
                    why = Some(reason);
                }
                left.extend(pieces);
            }
            // Against all its pieces the scope comes out whole again, or without pieces that others cover.
            row.left = row.scope.within(&left.into_iter().collect());
            if let Some(reason) = why {
                let left: ScopeSet = row.left.iter().cloned().collect();
                self.narrowed.push(Narrowed {
                    scope: row.scope.to_string(),
                    left: left.to_string(),
                    reason,
                });
            }
        }
    }

    fn any(&self, is: impl Fn(&Scope) -> bool) -> bool {
        self.asked.iter().flat_map(|row| &row.left).any(is)
    }

    /// `access_denied` for people, `invalid_scope` for systems, naming each scope with its reason.
    fn refusal(&self, asker: &Asker<'_>, what: &str) -> Refused {
        let reasons: Vec<String> = self.narrowed.iter().map(Narrowed::to_string).collect();
        let text = match reasons.as_slice() {
            [] => format!("{what}: no scope was asked and the client's dataflow has no default"),
            reasons => format!("{what}: {}", reasons.join("; ")),
        };
        match asker {
            Asker::System => Refused::InvalidScope(text),
            Asker::Person { .. } => Refused::AccessDenied(text),
        }
    }
}

/// One trailing slash is forgiven, on either side.
fn without_slash(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

/// A scope whose constraint the ceiling lists: people read it on the consent page, so whoever asks must not write it.
fn constraint_of(scope: &Scope, ceiling: &ScopeSet) -> Vec<Scope> {
    let constraint = |scope: &Scope| match scope {
        Scope::Smart(smart) => smart.constraint().map(str::to_owned),
        Scope::Named(_) => None,
    };
    let wanted = constraint(scope);
    let listed = wanted.is_none() || ceiling.iter().any(|listed| constraint(listed) == wanted);
    listed.then(|| scope.clone()).into_iter().collect()
}

fn list(values: &[String]) -> String {
    if values.is_empty() {
        "none".into()
    } else {
        values.join(", ")
    }
}

/// A value from a request, in the characters of `error_description` (RFC 6749 §5.2) and short enough for it.
fn printable(value: &str) -> String {
    let shown = |c: char| {
        if matches!(c, '\x20'..='\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E') {
            c
        } else {
            '?'
        }
    };
    value.chars().take(200).map(shown).collect()
}
