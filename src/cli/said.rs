//! What a command says of something that is registered: an option for each member, as its schema has it.

use std::marker::PhantomData;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, Str, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::input::{read_file, read_secret};
use super::outcome::CommandRefused;
use crate::registry::noun::{self, Registrable, Secrets};
use crate::registry::said::{Merge, Said};

/// How a member is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A text, or one of some words.
    Text(Vec<String>),
    /// Yes or no.
    Flag,
    /// Several of them, an option each.
    List(Vec<String>),
    /// Names and what they stand for, an option each.
    Table,
    /// A file with public keys.
    Keys,
    /// Several objects, an option each.
    Objects,
}

/// A member, or a member of a member.
#[derive(Debug, Clone)]
struct Flag {
    /// The member, and the one within it.
    path: Vec<String>,
    kind: Kind,
    says: String,
}

/// What is said by options.
pub(super) struct SaidArguments<S> {
    members: Map<String, Value>,
    secret_stdin: bool,
    noun: PhantomData<S>,
}

impl<S> std::fmt::Debug for SaidArguments<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaidArguments")
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl<S: Registrable> SaidArguments<S> {
    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && !self.secret_stdin
    }

    /// The same of one with this id, if there is none among the options.
    pub(super) fn or_id(mut self, id: impl FnOnce(&Map<String, Value>) -> String) -> Self {
        if !self.members.contains_key(S::NOUN.id) {
            self.members
                .insert(S::NOUN.id.to_owned(), json!(id(&self.members)));
        }
        self
    }

    /// What is said; the secret is read from stdin where that was asked for.
    pub(super) fn said(self) -> Result<Said, CommandRefused> {
        let secret = self.secret_stdin.then(read_secret).transpose()?;
        Ok(Said::new(self.members, Merge::Members).with_secret(secret))
    }
}

/// The schemas of a noun as JSON: that of its settings, and those that they name.
struct Schemas {
    settings: Value,
    named: Map<String, Value>,
}

impl Schemas {
    fn of<S: Registrable>() -> Self {
        let json = |schema: &RefOr<Schema>| serde_json::to_value(schema).unwrap_or_default();
        let mut named = Vec::new();
        S::schemas(&mut named);
        Self {
            settings: json(&RefOr::T(Schema::Object(noun::schema::<S>()))),
            named: named
                .iter()
                .map(|(name, schema)| (name.clone(), json(schema)))
                .collect(),
        }
    }

    /// A schema that stands behind a name, or is the only one beside null.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema.get("$ref").and_then(Value::as_str);
        if let Some(found) = name.and_then(|name| self.named.get(name.rsplit('/').next()?)) {
            return self.resolve(found);
        }
        let choices = schema.get("oneOf").and_then(Value::as_array);
        let mut others = choices.into_iter().flatten().filter(|one| !is_type(one, "null"));
        match (others.next(), others.next()) {
            (Some(only), None) => self.resolve(only),
            _ => schema,
        }
    }

    fn flags(&self, path: &[String], schema: &Value) -> Vec<Flag> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let flags = properties.into_iter().flatten().flat_map(|(member, property)| {
            let path: Vec<String> = path.iter().chain([member]).cloned().collect();
            let resolved = self.resolve(property);
            let says = said_of(property).or_else(|| said_of(resolved));
            match self.kind(resolved) {
                None => self.flags(&path, resolved),
                Some(kind) => vec![Flag {
                    path,
                    kind,
                    says: says
                        .unwrap_or_default()
                        .trim_end_matches('.')
                        .replace('`', "")
                        .replace('\n', " "),
                }],
            }
        });
        flags.collect()
    }

    /// How a value is written; none: it has members of its own.
    fn kind(&self, schema: &Value) -> Option<Kind> {
        let choices = schema.get("oneOf").and_then(Value::as_array);
        let has = |kind| {
            choices
                .into_iter()
                .flatten()
                .any(|one| is_type(self.resolve(one), kind))
        };
        Some(if has("array") {
            Kind::List(Vec::new())
        } else if has("object") {
            Kind::Keys
        } else if is_type(schema, "array") {
            let items = self.resolve(schema.get("items").unwrap_or(&Value::Null));
            if is_type(items, "object") {
                Kind::Objects
            } else {
                Kind::List(words(items))
            }
        } else if is_type(schema, "boolean") {
            Kind::Flag
        } else if schema.get("properties").is_some() {
            return None;
        } else if is_type(schema, "object") {
            Kind::Table
        } else {
            Kind::Text(words(schema))
        })
    }
}

/// What is said of a schema, or of what stands in it beside null.
fn said_of(schema: &Value) -> Option<&str> {
    let choices = schema.get("oneOf").and_then(Value::as_array);
    let parts = std::iter::once(schema).chain(choices.into_iter().flatten());
    let mut said = parts.filter_map(|part| part.get("description").and_then(Value::as_str));
    said.next()
}

fn is_type(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    }
}

fn words(schema: &Value) -> Vec<String> {
    let listed = schema.get("enum").and_then(Value::as_array);
    let words = listed.into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

fn flags<S: Registrable>() -> Vec<Flag> {
    let text = |member: &str, says: &str| Flag {
        path: vec![member.to_owned()],
        kind: Kind::Text(Vec::new()),
        says: says.to_owned(),
    };
    let mut flags = vec![
        text(S::NOUN.id, "Its id; one is made from the name without"),
        text("name", "Its name for people"),
    ];
    let schemas = Schemas::of::<S>();
    flags.extend(schemas.flags(&[], &schemas.settings));
    flags
}

impl Flag {
    /// Its name: of a list, that of one entry.
    fn name(&self) -> String {
        let name = self.path.join("-").replace('_', "-");
        match self.kind {
            Kind::List(_) | Kind::Table | Kind::Objects => name.strip_suffix('s').unwrap_or(&name).to_owned(),
            _ => name,
        }
    }

    fn argument(&self) -> Arg {
        let name = self.name();
        let argument = Arg::new(Str::from(name.clone()))
            .long(name)
            .help(self.says.clone());
        let one_of = |words: &[String]| -> ValueParser {
            if words.is_empty() {
                ValueParser::string()
            } else {
                PossibleValuesParser::new(words.iter().map(|word| Str::from(word.clone()))).into()
            }
        };
        match &self.kind {
            Kind::Text(words) => argument.value_parser(one_of(words)).value_name("TEXT"),
            Kind::List(words) => argument
                .help(format!("{}; may repeat", self.says))
                .value_parser(one_of(words))
                .value_name("ONE")
                .action(ArgAction::Append),
            Kind::Table => argument
                .help(format!("{}; may repeat", self.says))
                .value_parser(ValueParser::string())
                .value_name("NAME = TEXT")
                .action(ArgAction::Append),
            Kind::Flag => argument
                .value_parser(clap::value_parser!(bool))
                .value_name("true|false")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            Kind::Objects => argument
                .help(format!("{}; may repeat", self.says))
                .value_parser(ValueParser::string())
                .value_name("JSON")
                .action(ArgAction::Append),
            Kind::Keys => argument
                .value_parser(clap::value_parser!(PathBuf))
                .value_name("FILE"),
        }
    }

    /// What was given, as the member's value.
    fn value(&self, matches: &ArgMatches) -> Result<Option<Value>, clap::Error> {
        let name = self.name();
        let texts = || {
            matches
                .get_many::<String>(&name)
                .map(|texts| texts.cloned().collect::<Vec<_>>())
        };
        Ok(match self.kind {
            Kind::Text(_) => matches.get_one::<String>(&name).map(|text| json!(text)),
            Kind::Flag => matches.get_one::<bool>(&name).map(|is| json!(is)),
            Kind::List(_) => texts().map(|texts| json!(texts)),
            Kind::Table => match texts() {
                None => None,
                Some(texts) => Some(table(&name, &texts)?),
            },
            Kind::Objects => match texts() {
                None => None,
                Some(texts) => Some(objects(&name, &texts)?),
            },
            Kind::Keys => match matches.get_one::<PathBuf>(&name) {
                None => None,
                Some(path) => {
                    let text = read_file(path).map_err(|CommandRefused(what)| misuse(what))?;
                    Some(json!(text))
                }
            },
        })
    }
}

fn misuse(what: String) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{what}\n"))
}

fn objects(name: &str, texts: &[String]) -> Result<Value, clap::Error> {
    let object = |text: &String| match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        _ => Err(misuse(format!("--{name}: write a JSON object"))),
    };
    let all: Result<Vec<Value>, clap::Error> = texts.iter().map(object).collect();
    all.map(Value::Array)
}

/// A scope may hold a `=` itself, so blanks belong around ours.
fn table(name: &str, texts: &[String]) -> Result<Value, clap::Error> {
    let entry = |text: &String| {
        let parts = text
            .split_once(" = ")
            .or_else(|| text.strip_suffix(" =").map(|name| (name, "")));
        let (name, what) = parts.ok_or_else(|| {
            misuse(format!(
                "--{name} {text:?}: write NAME = TEXT, with blanks around the ="
            ))
        })?;
        Ok((name.trim().to_owned(), json!(what.trim())))
    };
    let entries: Result<Map<String, Value>, clap::Error> = texts.iter().map(entry).collect();
    Ok(Value::Object(entries?))
}

impl<S: Registrable> FromArgMatches for SaidArguments<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut members = Map::new();
        for flag in flags::<S>() {
            let Some(value) = flag.value(matches)? else {
                continue;
            };
            match flag.path.as_slice() {
                [member, inner] => {
                    let outer = members.entry(member.clone()).or_insert_with(|| json!({}));
                    if let Value::Object(outer) = outer {
                        outer.insert(inner.clone(), value);
                    }
                }
                path => {
                    members.extend(path.first().map(|member| (member.clone(), value)));
                }
            }
        }
        Ok(Self {
            members,
            secret_stdin: !matches!(S::NOUN.secrets, Secrets::None) && matches.get_flag("secret-stdin"),
            noun: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<S: Registrable> clap::Args for SaidArguments<S> {
    fn augment_args(command: Command) -> Command {
        let command = flags::<S>()
            .into_iter()
            .fold(command, |command, flag| command.arg(flag.argument()));
        if matches!(S::NOUN.secrets, Secrets::None) {
            return command;
        }
        command.arg(
            Arg::new("secret-stdin")
                .long("secret-stdin")
                .action(ArgAction::SetTrue)
                .help(if S::NOUN.secrets.are_ours() {
                    "Read our secret there from stdin"
                } else {
                    "Read its secret from stdin instead of making one"
                }),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
