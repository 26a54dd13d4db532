//! The last sign-ins of somebody, from the record, in words: those that failed and those that stopped half-way too.

use serde_json::Value;

use crate::app::App;
use crate::audit::event::Kind;
use crate::audit::reason::Reason;
use crate::clock::local_time::Zone;
use crate::login::recovery_codes;
use crate::store::audit::AuditRow;
use crate::web::pages::account::SignIn;

/// How far back the page looks, in seconds.
pub(super) const SECONDS: i64 = 90 * 86_400;
/// How many it shows.
const SHOWN: usize = 20;
/// How many events it looks at: a sign-in in two steps is two of them.
pub(super) const LOOKED_AT: i64 = 40;
/// What is looked at.
pub(super) const KINDS: [Kind; 4] = [
    Kind::LoginSucceeded,
    Kind::LoginFailed,
    Kind::LoginLocked,
    Kind::LoginUnlocked,
];
/// How long after the first step the second one still belongs to it, in milliseconds.
const ONE_SIGN_IN: i64 = 600_000;

/// What an event says.
struct Told<'a> {
    row: &'a AuditRow,
    body: Value,
}

impl Told<'_> {
    fn is(&self, kind: Kind) -> bool {
        self.row.kind == kind.as_str()
    }

    fn address(&self) -> Option<&str> {
        self.body.get("address").and_then(Value::as_str)
    }

    fn detail(&self, name: &str) -> &str {
        self.body
            .get("detail")
            .and_then(|detail| detail.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The first step alone.
    fn is_half(&self) -> bool {
        self.is(Kind::LoginSucceeded) && self.detail("second_factor") == "due"
    }

    /// Whether the second step was taken: it is what next succeeded from the same address. `newer`: from then on, the
    /// newest first.
    fn is_completed(&self, newer: &[Self]) -> bool {
        let next = newer
            .iter()
            .rev()
            .find(|other| other.is(Kind::LoginSucceeded) && other.address() == self.address());
        next.is_some_and(|next| !next.is_half() && next.row.at_ms - self.row.at_ms <= ONE_SIGN_IN)
    }
}

/// The sign-ins that these events tell of, which come the newest first.
pub(super) fn listed(app: &App, rows: &[AuditRow], zone: &Zone) -> Vec<SignIn> {
    let told: Vec<Told<'_>> = rows
        .iter()
        .map(|row| Told {
            row,
            body: serde_json::from_str(&row.body).unwrap_or_default(),
        })
        .collect();
    told.iter()
        .enumerate()
        .filter(|(place, event)| {
            !(event.is_half() && event.is_completed(told.get(..*place).unwrap_or_default()))
        })
        .take(SHOWN)
        .map(|(_, event)| SignIn {
            what: in_words(app, event),
            failed: event.is_half() || event.is(Kind::LoginFailed) || event.is(Kind::LoginLocked),
            at: zone.when(event.row.at_ms.div_euclid(1000)),
            address: event.address().map(str::to_owned),
        })
        .collect()
}

fn in_words(app: &App, event: &Told<'_>) -> String {
    let how = match event.detail("provider") {
        "" => methods_in_words(event.detail("amr").split(' ')),
        provider => format!("with {}", provider_name(app, provider)),
    };
    if event.is_half() {
        return format!("Not finished: began {how}, but did not take the second step");
    }
    if event.is(Kind::LoginSucceeded) {
        return format!("Signed in {how}").trim_end().to_owned();
    }
    if event.is(Kind::LoginUnlocked) {
        return "Signing in was allowed again by an administrator".to_owned();
    }
    if event.is(Kind::LoginLocked) {
        return "Signing in was paused after too many failed attempts".to_owned();
    }
    let reason = match event.detail("reason_code").parse() {
        Ok(Reason::WrongCode) => "wrong security code",
        Ok(Reason::UsedCode) => "security code was used before",
        Ok(Reason::Locked) => "signing in was paused",
        Ok(Reason::Disabled) => "the account was disabled",
        _ => event.detail("reason"),
    };
    if reason.is_empty() {
        "Failed".to_owned()
    } else {
        format!("Failed: {reason}")
    }
}

/// What people call a provider; its id, when it is gone.
pub(super) fn provider_name(app: &App, id: &str) -> String {
    app.live
        .identity_provider(id)
        .map_or_else(|| id.to_owned(), |provider| provider.name.clone())
}

/// Methods of authentication (RFC 8176) in words: "with password and security code". What is no method by itself, or is
/// not known, is left out.
pub fn methods_in_words<'a>(amr: impl Iterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = Vec::new();
    for method in amr {
        let word = match method {
            "pwd" => "password",
            "otp" => "security code",
            "hwk" | "swk" | "pop" => "passkey",
            recovery_codes::METHOD => "recovery code",
            _ => continue,
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() {
        String::new()
    } else {
        format!("with {}", words.join(" and "))
    }
}
