//! Reads sections and keys one by one and remembers every mistake instead of stopping at the first.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Value;

use crate::model::secret::Secret;

const ENVIRONMENT: &str = "MDI_AUTH_";

/// The variable that holds the master key; it is no override of a key in the file, so that the key never stands there.
pub const MASTER_KEY_VARIABLE: &str = "MDI_AUTH_MASTER_KEY";

/// One mistake in the configuration, for the person who has to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `[server] issuer`, a variable's name, or a file's path.
    pub at: String,
    /// What stands there.
    pub found: String,
    /// What could stand there.
    pub wanted: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: found {}; wanted {}", self.at, self.found, self.wanted);
        f.write_str(&line.replace(['\n', '\r'], " "))
    }
}

/// A value and where it stood.
pub(super) struct Setting {
    pub at: String,
    pub input: Input,
}

/// What the file says has a type; what the environment says takes the type that is wanted.
pub(super) enum Input {
    File(Value),
    Environment(String),
}

impl Setting {
    /// The value as a mistake shows it.
    pub fn shown(&self) -> String {
        match &self.input {
            Input::File(value) => value.to_string().trim().to_owned(),
            Input::Environment(text) => format!("{text:?}"),
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.input {
            Input::File(value) => value.as_str(),
            Input::Environment(text) => Some(text),
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match &self.input {
            Input::File(value) => value.as_integer(),
            Input::Environment(text) => text.trim().parse().ok(),
        }
    }

    fn boolean(&self) -> Option<bool> {
        match &self.input {
            Input::File(value) => value.as_bool(),
            Input::Environment(text) => text.trim().parse().ok(),
        }
    }

    fn texts(&self) -> Option<Vec<&str>> {
        match &self.input {
            Input::File(value) => value.as_array()?.iter().map(Value::as_str).collect(),
            Input::Environment(text) => Some(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .collect(),
            ),
        }
    }
}

/// All that the file and the environment say.
#[derive(Default)]
pub(super) struct Reader {
    sections: BTreeMap<String, BTreeMap<String, Setting>>,
    known_sections: Vec<&'static str>,
    master_key: Option<Secret>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    pub fn add_file(&mut self, path: &Path) {
        let at = path.display().to_string();
        let table: toml::Table = match std::fs::read_to_string(path) {
            Err(cause) => {
                return self.mistake(
                    at,
                    cause.to_string(),
                    "a TOML file in UTF-8 that this user may read",
                );
            }
            // Only the reason and the place: the line itself may hold a secret.
            Ok(text) => match text.parse() {
                Err(cause) => return self.mistake(at, syntax_error(&text, &cause), "TOML"),
                Ok(table) => table,
            },
        };
        for (section, value) in table {
            let Value::Table(keys) = value else {
                self.mistake(
                    section,
                    "a key outside of a section".to_owned(),
                    "keys under [server], [database], …",
                );
                continue;
            };
            let settings = self.sections.entry(section.clone()).or_default();
            for (key, value) in keys {
                let at = format!("[{section}] {key}");
                settings.insert(
                    key,
                    Setting {
                        at,
                        input: Input::File(value),
                    },
                );
            }
        }
    }

    pub fn add_environment(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in env {
            if name == MASTER_KEY_VARIABLE {
                self.master_key = Some(Secret::new(text));
            } else if let Some((section, key)) = name
                .strip_prefix(ENVIRONMENT)
                .and_then(|rest| rest.split_once("__"))
            {
                let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
                let setting = Setting {
                    at: name,
                    input: Input::Environment(text),
                };
                self.sections.entry(section).or_default().insert(key, setting);
            }
        }
    }

    /// Reads one section; what `read` does not ask for is unknown.
    pub fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section) -> T) -> T {
        self.known_sections.push(name);
        let mut section = Section {
            name,
            settings: self.sections.remove(name).unwrap_or_default(),
            known: Vec::new(),
            master_key: self.master_key.take_if(|_| name == "keys"),
            mistakes: Vec::new(),
        };
        let read = read(&mut section);
        let known = section.known.join(", ");
        self.mistakes.append(&mut section.mistakes);
        for setting in section.settings.into_values() {
            self.mistake(
                setting.at,
                "an unknown key".to_owned(),
                &format!("one of: {known}"),
            );
        }
        read
    }

    /// Sections that nobody asked for are mistakes too.
    pub fn finish(mut self) -> Vec<Mistake> {
        let known = self.known_sections.join(", ");
        for (section, settings) in std::mem::take(&mut self.sections) {
            let wanted = format!("one of the sections: {known}");
            let variables = settings
                .into_values()
                .filter(|setting| matches!(setting.input, Input::Environment(_)));
            let mut places: Vec<_> = variables.map(|setting| setting.at).collect();
            if places.is_empty() {
                places.push(format!("[{section}]"));
            }
            for at in places {
                self.mistake(at, "an unknown section".to_owned(), &wanted);
            }
        }
        self.mistakes
    }

    /// Notes a mistake that concerns several sections.
    pub fn mistake(&mut self, at: String, found: String, wanted: &str) {
        self.mistakes.push(Mistake {
            at,
            found,
            wanted: wanted.to_owned(),
        });
    }
}

fn syntax_error(text: &str, cause: &toml::de::Error) -> String {
    let before = cause
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or_default();
    format!("{} in line {}", cause.message(), before.matches('\n').count() + 1)
}

/// One section while it is read. Each question names a key and its default, which also stands in for a mistake.
pub(super) struct Section {
    name: &'static str,
    settings: BTreeMap<String, Setting>,
    known: Vec<&'static str>,
    master_key: Option<Secret>,
    mistakes: Vec<Mistake>,
}

impl Section {
    /// Takes a key out of the section.
    pub fn take(&mut self, key: &'static str) -> Option<Setting> {
        self.known.push(key);
        self.settings.remove(key)
    }

    /// Whether a key is left that nobody has taken.
    pub fn is_present(&self) -> bool {
        !self.settings.is_empty()
    }

    /// Whether something in the section is wrong already.
    pub fn has_mistake(&self) -> bool {
        !self.mistakes.is_empty()
    }

    /// Takes the master key of the environment.
    pub fn take_master_key(&mut self) -> Option<Secret> {
        self.master_key.take()
    }

    /// Notes that a value cannot stay.
    pub fn wrong(&mut self, setting: &Setting, wanted: impl Into<String>) {
        self.mistake(setting.at.clone(), setting.shown(), wanted);
    }

    /// Notes that a key of this section does not fit with others.
    pub fn clash(&mut self, key: &str, found: impl Into<String>, wanted: impl Into<String>) {
        self.mistake(format!("[{}] {key}", self.name), found, wanted);
    }

    /// Notes a mistake at a place of its own.
    pub fn mistake(&mut self, at: String, found: impl Into<String>, wanted: impl Into<String>) {
        self.mistakes.push(Mistake {
            at,
            found: found.into(),
            wanted: wanted.into(),
        });
    }

    /// Takes a text that `parse` understands; its error says what is wanted.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = self.take(key)?;
        let parsed = setting
            .text()
            .ok_or_else(|| "text in quotes".to_owned())
            .and_then(parse);
        parsed.map_err(|wanted| self.wrong(&setting, wanted)).ok()
    }

    /// Takes a path.
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.parsed(key, |text| {
            if text.is_empty() {
                Err("a path".to_owned())
            } else {
                Ok(PathBuf::from(text))
            }
        })
    }

    /// [`Section::integer`] that need not be there.
    pub fn optional_integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let (least, most) = (*range.start(), *range.end());
        let setting = self.take(key)?;
        let number = setting.integer().filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(&setting, format!("an integer from {least} to {most}"));
        }
        number
    }

    /// Takes a number within a range.
    pub fn integer(&mut self, key: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(setting) = self.take(key) else {
            return default;
        };
        match setting.integer().filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                self.wrong(
                    &setting,
                    format!("an integer from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    /// Takes a count within a range.
    pub fn count(&mut self, key: &'static str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        self.integer(key, default.into(), range)
            .try_into()
            .unwrap_or(default)
    }

    /// Takes true or false; false when it is absent.
    pub fn switch(&mut self, key: &'static str) -> bool {
        self.flag(key, false)
    }

    /// Takes true or false.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(setting) = self.take(key) else {
            return default;
        };
        setting.boolean().unwrap_or_else(|| {
            self.wrong(&setting, "true or false");
            default
        })
    }

    /// Takes a list, each element of which must be a `wanted`.
    pub fn list<T>(&mut self, key: &'static str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Some(setting) = self.take(key) else {
            return Vec::new();
        };
        match setting
            .texts()
            .and_then(|texts| texts.into_iter().map(parse).collect())
        {
            Some(list) => list,
            None => {
                self.wrong(&setting, format!("a list of {wanted}"));
                Vec::new()
            }
        }
    }
}

/// Reads a value by its own `FromStr`.
pub(super) fn from_str<T: FromStr>(wanted: &'static str) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| text.parse().map_err(|_| wanted.to_owned())
}
