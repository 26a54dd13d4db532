//! `mdi-auth user`: people who sign in.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::input::{OrganizationArguments, given, read_secret, word};
use super::outcome::{CommandRefused, Done};
use super::output::{or_none, print, print_json, print_object, print_table, time};
use super::start::Start;
use crate::login::totp;
use crate::model::link::LinkKind;
use crate::model::person::Person;
use crate::model::secret::Secret;
use crate::model::security_label::{Confidentiality, Integrity};
use crate::outbound::mail::{self, Mailer};
use crate::registry::import::{self, RowMistake};
use crate::registry::links::{self, Issued};
use crate::registry::people::{self, PersonForm};
use crate::registry::{Omitted, Registry, link_mails, sessions};
use crate::store::passkeys::{self, StoredPasskey};
use crate::store::people as stored;

/// How many people are read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a user
    Add(Box<Add>),
    /// List all users
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a user
    Show {
        /// The username
        username: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change what is known of a user; what is not said stays
    Change {
        /// The username
        username: String,
        /// Full name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        facts: Box<Facts>,
    },
    /// Delete a user who never signed in
    Delete {
        /// The username
        username: String,
    },
    /// Sign a user out everywhere; what was to stay connected stays
    SignOut {
        /// The username
        username: String,
    },
    /// Sign a user out everywhere and take back all that applications were allowed
    Revoke {
        /// The username
        username: String,
    },
    /// Replace a user's roles; ends sessions and grants
    SetRoles {
        /// The username
        username: String,
        /// Codes of roles; none: no role
        roles: Vec<String>,
    },
    /// Set a user's password; ends sessions and grants
    SetPassword {
        /// The username
        username: String,
        /// Read the password from stdin
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Print a link with which a user who has no password yet chooses one; older links end
    Invite {
        /// The username
        username: String,
        /// Send it to the user's e-mail address instead
        #[arg(long)]
        mail: bool,
    },
    /// Print a link with which a user chooses a new password; older links end
    ResetLink {
        /// The username
        username: String,
        /// Send it to the user's e-mail address instead
        #[arg(long)]
        mail: bool,
    },
    /// Add the people of a CSV file, all or nobody, and print an invitation for each
    Import {
        /// The file; --columns says what stands in it
        #[arg(required_unless_present = "columns")]
        file: Option<PathBuf>,
        /// Only check the file
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Print a file to begin with: the columns and an example
        #[arg(long, conflicts_with = "file")]
        columns: bool,
    },
    /// Forget failed sign-ins, so that a locked user may try again
    Unlock {
        /// The username
        username: String,
    },
    /// Refuse a user everything; ends sessions and grants
    Disable {
        /// The username
        username: String,
    },
    /// Let a disabled user sign in again
    Enable {
        /// The username
        username: String,
    },
    /// Take a user's second factors away, passkeys and recovery codes too; ends sessions and grants
    ResetSecondFactor {
        /// The username
        username: String,
        /// Make a new TOTP secret and show it once
        #[arg(long)]
        totp: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// What the user types to sign in
    #[arg(long)]
    username: String,
    /// Full name
    #[arg(long)]
    name: String,
    /// Read the password from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Make a TOTP secret and show it once
    #[arg(long)]
    totp: bool,
    #[command(flatten)]
    facts: Facts,
}

/// What is known of somebody beside the name.
#[derive(Debug, Args)]
pub(super) struct Facts {
    /// A role; may repeat
    #[arg(long, value_name = "CODE")]
    role: Vec<String>,
    #[command(flatten)]
    organization: OrganizationArguments,
    /// National Provider Identifier
    #[arg(long)]
    npi: Option<String>,
    /// The FHIR resource of the user, such as https://edrs.example/fhir/Practitioner/77
    #[arg(long, value_name = "REFERENCE")]
    fhir_user: Option<String>,
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    /// The e-mail address is known to be the user's: forgotten passwords are answered there
    #[arg(long, requires = "email")]
    email_verified: bool,
    /// Clearance: U L M N R V
    #[arg(long, value_parser = word::<Confidentiality>, value_name = "CODE")]
    confidentiality: Option<Confidentiality>,
    /// High, Medium or Low
    #[arg(long, value_parser = word::<Integrity>)]
    integrity: Option<Integrity>,
    /// A purpose of use; may repeat; narrows those of the roles
    #[arg(long, value_name = "CODE")]
    purpose: Vec<String>,
    /// The last day of the licence
    #[arg(long, value_name = "YYYY-MM-DD")]
    license_expires: Option<String>,
}

pub(super) fn run(start: &Start, command: Command) -> Done {
    let registry = start.registry()?;
    match command {
        Command::Add(arguments) => add(&registry, *arguments),
        Command::List { json } => {
            registry.note_look("mdi-auth user list")?;
            list(&registry, json)
        }
        Command::Show { username, json } => {
            registry.note_look("mdi-auth user show")?;
            show(&registry, username, json)
        }
        Command::Change {
            username,
            name,
            facts,
        } => {
            let form = PersonForm {
                username: Some(username),
                name,
                ..facts.into_form()
            };
            let person = registry
                .blocking(move |registry, tx| people::change(registry, tx, &form, Omitted::Keeps, None))?;
            print(format_args!("{} is as you said", person.username))
        }
        Command::Delete { username } => {
            let person = registry.blocking(move |registry, tx| people::delete(registry, tx, &username))?;
            print(format_args!("deleted {}", person.username))
        }
        Command::SignOut { username } => {
            let shown = username.clone();
            let ended = registry.blocking(move |registry, tx| sessions::end_all(registry, tx, &username))?;
            print(format_args!("signed {shown} out of {ended} sessions"))
        }
        Command::Revoke { username } => {
            let person =
                registry.blocking(move |registry, tx| people::revoke_everything(registry, tx, &username))?;
            print(format_args!("took back everything of {}", person.username))
        }
        Command::SetRoles { username, roles } => {
            let person =
                registry.blocking(move |registry, tx| people::set_roles(registry, tx, &username, &roles))?;
            print(format_args!(
                "{} has the roles: {}",
                person.username,
                or_none(&person.settings.roles)
            ))
        }
        Command::SetPassword {
            username,
            password_stdin: _,
        } => {
            let password = read_secret()?;
            let hash = people::prepare_password_blocking(&registry, &username, password.clone())?;
            let person = registry.blocking(move |registry, tx| {
                people::set_password(registry, tx, &username, &password, &hash)
            })?;
            print(format_args!("set the password of {}", person.username))
        }
        Command::Invite { username, mail } => {
            let mailer = mail.then(|| mailer(&registry, &username)).transpose()?;
            let issued = registry.blocking(move |registry, tx| links::invite(registry, tx, &username))?;
            hand_over(&registry, &issued, mailer)
        }
        Command::ResetLink { username, mail } => {
            let mailer = mail.then(|| mailer(&registry, &username)).transpose()?;
            let issued = registry.blocking(move |registry, tx| links::reset_link(registry, tx, &username))?;
            hand_over(&registry, &issued, mailer)
        }
        Command::Import {
            file,
            dry_run,
            json,
            columns: _,
        } => import_file(&registry, file, dry_run, json),
        Command::Unlock { username } => {
            let shown = username.clone();
            let was = registry.blocking(move |registry, tx| people::unlock(registry, tx, &username))?;
            print(format_args!(
                "{}",
                if was {
                    format!("unlocked {shown}")
                } else {
                    format!("{shown} had no failed sign-ins")
                }
            ))
        }
        Command::Disable { username } => set_enabled(&registry, username, false),
        Command::Enable { username } => set_enabled(&registry, username, true),
        Command::ResetSecondFactor { username, totp } => {
            let secret = totp.then(|| people::new_totp_secret(&registry));
            let new = secret.clone();
            let person = registry.blocking(move |registry, tx| {
                people::reset_second_factor(registry, tx, &username, new.as_ref())
            })?;
            print(format_args!("reset the second factor of {}", person.username))?;
            secret.map_or(Ok(()), |secret| print_totp(&registry, &person.username, &secret))
        }
    }
}

impl Facts {
    fn into_form(self) -> PersonForm {
        PersonForm {
            roles: given(self.role),
            agency: self.organization.agency.clone(),
            organization: self.organization.into_organization(),
            npi: self.npi,
            fhir_user: self.fhir_user,
            email: self.email,
            email_verified: self.email_verified.then_some(true),
            confidentiality: self.confidentiality,
            integrity: self.integrity,
            purposes: given(self.purpose).map(Into::into),
            license_expires: self.license_expires,
            ..PersonForm::default()
        }
    }
}

fn add(registry: &Registry, arguments: Add) -> Done {
    let password = if arguments.password_stdin {
        Some(read_secret()?)
    } else {
        None
    };
    let totp_secret = arguments.totp.then(|| people::new_totp_secret(registry));
    let form = PersonForm {
        username: Some(arguments.username),
        name: Some(arguments.name),
        password: password.clone(),
        totp_secret: totp_secret.clone(),
        ..arguments.facts.into_form()
    };
    let has_password = password.is_some();
    let hash = password
        .map(|password| people::hash(registry, password))
        .transpose()?;
    let (person, invitation) = registry.blocking(move |registry, tx| {
        let person = match people::add(registry, tx, &form, hash.as_deref())? {
            Ok(person) => person,
            Err(mistakes) => return Ok(Err(mistakes)),
        };
        let invited = !has_password && person.enabled;
        let invitation = invited
            .then(|| links::issue(registry, tx, &person, LinkKind::Invitation))
            .transpose()?;
        Ok(Ok((person, invitation)))
    })?;
    let username = &person.username;
    print(format_args!("added {username} ({})", person.id))?;
    if let Some(secret) = &totp_secret {
        print_totp(registry, username, secret)?;
    }
    if let Some(issued) = &invitation {
        print_link(issued)?;
    }
    if totp_secret.is_none()
        && registry
            .app()
            .policy
            .requires_second_factor(&person.settings.all_roles())
    {
        print(format_args!(
            "{username} sets up a second factor at the first sign-in: the roles need one"
        ))?;
    }
    Ok(())
}

/// Imports a file, or says what is wrong with it.
fn import_file(registry: &Registry, path: Option<PathBuf>, dry_run: bool, json: bool) -> Done {
    let Some(path) = path else {
        return print(String::from_utf8_lossy(&import::template()).trim_end());
    };
    let cannot = |what: String| CommandRefused(format!("{}: {what}", path.display()));
    let size = std::fs::metadata(&path)
        .map_err(|cause| cannot(cause.to_string()))?
        .len();
    if size > u64::try_from(import::LARGEST).unwrap_or(u64::MAX) {
        return Err(cannot(format!(
            "it has {size} bytes, more than {}: split the file",
            import::LARGEST
        )));
    }
    let file = import::File::read(&std::fs::read(&path).map_err(|cause| cannot(cause.to_string()))?);
    let progress = Arc::default();
    let imported = if dry_run {
        let findings = import::check(registry, &file, &progress)?;
        if findings.is_empty() {
            Ok(Vec::new())
        } else {
            Err(findings)
        }
    } else {
        import::import(registry, &file, &progress)?
    };
    let count = if dry_run {
        file.len()
    } else {
        imported.as_ref().map_or(0, Vec::len)
    };
    match (imported, json) {
        (Ok(issued), true) => {
            let invitation = |issued: &Issued| json!({ "username": issued.person.username, "id": issued.person.id, "invitation": issued.url.reveal(), "expires_at": issued.expires_at });
            let invitations: Vec<Value> = issued.iter().map(invitation).collect();
            print_json(
                &json!({ "dry_run": dry_run, "people": count, "findings": [], "invitations": invitations }),
            )
        }
        (Ok(_), false) if dry_run => print(format_args!("the file is in order: {count} people can be added")),
        (Ok(issued), false) => {
            issued.iter().try_for_each(print_link)?;
            print(format_args!("added {count} people"))
        }
        (Err(findings), json) => {
            if json {
                let findings: Vec<Value> = findings.iter().map(RowMistake::view).collect();
                print_json(
                    &json!({ "dry_run": dry_run, "people": 0, "findings": findings, "invitations": [] }),
                )?;
            }
            let lines: Vec<String> = findings.iter().map(RowMistake::to_string).collect();
            Err(cannot(format!(
                "nobody was added; findings: {}\n  {}",
                findings.len(),
                lines.join("\n  ")
            )))
        }
    }
}

const INSTEAD: &str = "without --mail the command prints a link";

/// What sends a link to a user. Asked before the link is made, which ends older ones.
fn mailer<'a>(registry: &'a Registry, username: &str) -> Result<&'a Mailer, CommandRefused> {
    let typed = username.to_owned();
    let person = registry
        .app()
        .store
        .read_blocking(move |conn| stored::find_by_username(conn, &typed))?;
    if person.is_some_and(|person| person.settings.email.is_none()) {
        return Err(CommandRefused(format!(
            "{username} has no e-mail address; {INSTEAD}"
        )));
    }
    registry
        .app()
        .mailer
        .as_ref()
        .ok_or_else(|| CommandRefused(format!("[mail] is not configured; {INSTEAD}")))
}

/// Prints a link, or mails it.
fn hand_over(registry: &Registry, issued: &Issued, mailer: Option<&Mailer>) -> Done {
    let app = registry.app();
    let (Some(mailer), Some(mail)) = (mailer, link_mails::link(app, issued)) else {
        return print_link(issued);
    };
    let sent = actix_web::rt::System::new().block_on(mailer.send(&mail, app.now()));
    let event = mail::event(&mail, &sent, 1, app.clock.as_ref(), registry.actor().clone());
    app.store.write_blocking(move |tx| {
        tx.audit(event.clone());
        Ok(())
    })?;
    sent.map_err(|cause| CommandRefused(format!("the link could not be sent: {cause}; {INSTEAD}")))?;
    print(format_args!(
        "sent a link to {}; it works once, until {}",
        mail.address,
        time(issued.expires_at)
    ))
}

/// Prints a link, once.
pub(super) fn print_link(issued: &Issued) -> Done {
    let what = if issued.kind == LinkKind::Invitation {
        "invitation"
    } else {
        "new password"
    };
    print(format_args!(
        "{what} of {} (shown once; works once, until {}): {}",
        issued.person.username,
        time(issued.expires_at),
        issued.url.reveal()
    ))
}

/// Prints a TOTP secret, once, for an authenticator app.
fn print_totp(registry: &Registry, username: &str, secret: &Secret) -> Done {
    let broken =
        |cause: &dyn std::fmt::Display| CommandRefused(format!("the TOTP secret cannot be shown: {cause}"));
    let key = totp_rs::Secret::try_from_base32(secret.reveal()).map_err(|cause| broken(&cause))?;
    let service = &registry.app().config.server.name;
    let uri = totp::key_uri(key.as_ref().to_vec(), service, username).map_err(|cause| broken(&cause))?;
    print(format_args!("totp_secret  {} (shown once)", secret.reveal()))?;
    print(format_args!("otpauth      {uri}"))
}

fn view(person: &Person, has_passkey: bool) -> Map<String, Value> {
    let mut view = people::view(person);
    view.insert("id".to_owned(), json!(person.id));
    view.insert("has_password".to_owned(), json!(person.password.is_some()));
    view.insert("has_totp".to_owned(), json!(person.totp_secret.is_some()));
    view.insert("has_passkey".to_owned(), json!(has_passkey));
    view.insert("created_at".to_owned(), json!(person.created_at));
    view.insert("updated_at".to_owned(), json!(person.updated_at));
    view
}

fn all(registry: &Registry) -> Result<Vec<Person>, CommandRefused> {
    let mut all: Vec<Person> = Vec::new();
    loop {
        let after = all
            .last()
            .map_or_else(String::new, |person| person.username.clone());
        let page = registry
            .app()
            .store
            .read_blocking(move |conn| stored::page(conn, &after, PAGE))?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn list(registry: &Registry, json: bool) -> Done {
    let all = all(registry)?;
    let holders = registry.app().store.read_blocking(passkeys::holders)?;
    if json {
        let view = |person: &Person| Value::Object(view(person, holders.contains(&person.id)));
        return print_json(&all.iter().map(view).collect());
    }
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|person| {
            let password = if person.password.is_some() {
                "password"
            } else {
                "no password"
            };
            let totp = person.totp_secret.is_some().then_some("totp");
            let passkey = holders.contains(&person.id).then_some("passkey");
            let factors = [Some(password), totp, passkey]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", ");
            let state = if person.enabled { "enabled" } else { "disabled" };
            vec![
                person.username,
                or_none(&person.settings.roles),
                factors,
                state.to_owned(),
                person.name,
            ]
        })
        .collect();
    print_table(&["USERNAME", "ROLES", "FACTORS", "STATE", "NAME"], &rows)
}

fn show(registry: &Registry, username: String, json: bool) -> Done {
    let shown = username.clone();
    let person = registry
        .app()
        .store
        .read_blocking(move |conn| stored::find_by_username(conn, &username))?;
    let person = person.ok_or_else(|| CommandRefused(format!("nobody has the username {shown:?}")))?;
    let id = person.id.clone();
    let passkeys = registry
        .app()
        .store
        .read_blocking(move |conn| passkeys::of_person(conn, &id))?;
    let mut view = view(&person, !passkeys.is_empty());
    if json {
        let passkey = |passkey: &StoredPasskey| json!({ "name": passkey.name, "created_at": passkey.created_at, "last_used_at": passkey.last_used_at });
        view.insert("passkeys".to_owned(), passkeys.iter().map(passkey).collect());
        return print_json(&Value::Object(view));
    }
    let used = |passkey: &StoredPasskey| passkey.last_used_at.map_or_else(|| "never".to_owned(), time);
    let passkey = |passkey: &StoredPasskey| json!(format!("{} (last used: {})", passkey.name, used(passkey)));
    view.insert("passkeys".to_owned(), passkeys.iter().map(passkey).collect());
    print_object(&view)
}

fn set_enabled(registry: &Registry, username: String, enabled: bool) -> Done {
    let person =
        registry.blocking(move |registry, tx| people::set_enabled(registry, tx, &username, enabled))?;
    print(format_args!(
        "{} is {}",
        person.username,
        if enabled { "enabled" } else { "disabled" }
    ))
}
