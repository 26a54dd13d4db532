//! The fields of a form: a line for each member of the settings. What is registered is put into them, and what was typed
//! is read out of them, by one rule for each kind.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::admin::card::Fact;
use crate::admin::form::{Choice, FieldMistake, Typed, is_wrong};
use crate::admin::table::Cell;
use crate::registry::Mistake;

/// How a field is filled in.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A line of text.
    Text,
    /// A line of text, with what it may be.
    Suggested(Vec<Choice>),
    /// A long text, such as keys.
    Long,
    /// A list, an entry a line.
    Lines,
    /// Names and what stands for them, as `name = text`, one a line.
    Table,
    /// Several objects, one a line, their members with bars in between; the last is a word that says yes.
    Rows(&'static [&'static str]),
    /// One of a few, with what each means.
    Radio(Vec<Choice>),
    /// One of several.
    Select(Vec<Choice>),
    /// Any of several.
    Boxes(Vec<Choice>),
    /// Yes or no.
    Tick,
    /// Our secret there: never shown again.
    Secret,
}

/// A field.
#[derive(Debug, Clone)]
pub struct Field {
    /// The member, and its name in the form; `a.b` is the member `b` of the member `a`.
    pub key: &'static str,
    /// How it is filled in.
    pub kind: Kind,
    /// What people call it.
    pub label: Cow<'static, str>,
    /// More about it; may be empty.
    pub hint: Cow<'static, str>,
    /// It has a value that is safe, and stands behind "More settings".
    pub more: bool,
    /// It cannot be changed later.
    pub only_new: bool,
    /// A button beside it that tries the address.
    pub tried: bool,
    /// Pages of what its values name begin with this path.
    pub leads_to: Option<&'static str>,
}

/// Fields that belong together.
#[derive(Debug, Clone)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The fields.
    pub fields: Vec<Field>,
}

/// Fields that belong together.
pub fn section(title: &'static str, fields: Vec<Field>) -> Section {
    Section { title, fields }
}

/// A field; see [`Kind`].
pub fn field(
    key: &'static str,
    kind: Kind,
    label: impl Into<Cow<'static, str>>,
    hint: impl Into<Cow<'static, str>>,
) -> Field {
    Field {
        key,
        kind,
        label: label.into(),
        hint: hint.into(),
        more: false,
        only_new: false,
        tried: false,
        leads_to: None,
    }
}

impl Field {
    /// Puts it behind "More settings".
    pub fn more(self) -> Self {
        Self { more: true, ..self }
    }

    /// Says that it cannot be changed later.
    pub fn only_new(self) -> Self {
        Self {
            only_new: true,
            ..self
        }
    }

    /// Offers to try the address.
    pub fn tried(self) -> Self {
        Self { tried: true, ..self }
    }

    /// Says where the pages of what it names are.
    pub fn leads_to(self, path: &'static str) -> Self {
        Self {
            leads_to: Some(path),
            ..self
        }
    }

    /// What can be chosen.
    pub fn choices(&self) -> &[Choice] {
        match &self.kind {
            Kind::Radio(choices)
            | Kind::Select(choices)
            | Kind::Boxes(choices)
            | Kind::Suggested(choices) => choices,
            _ => &[],
        }
    }

    /// Puts a value into it.
    fn put(&self, typed: Typed, value: &Value) -> Typed {
        let name = self.key;
        match (&self.kind, value) {
            (Kind::Secret, _) => typed,
            (Kind::Boxes(_), Value::Array(values)) => {
                typed.with_all(name, values.iter().filter_map(Value::as_str))
            }
            (Kind::Boxes(_), Value::String(words)) => typed.with_all(name, words.split_whitespace()),
            (Kind::Lines, Value::String(words)) => typed.with(name, words.replace(' ', "\n")),
            (Kind::Text, Value::Array(values)) => typed.with(name, texts(values).join(" ")),
            (Kind::Rows(members), Value::Array(rows)) => {
                let lines: Vec<String> = rows.iter().map(|row| line_of(members, row)).collect();
                typed.with(name, lines.join("\n"))
            }
            (_, Value::String(text)) => typed.with(name, text),
            (_, Value::Array(values)) => typed.with(name, texts(values).join("\n")),
            (_, Value::Bool(true)) => typed.with(name, "yes"),
            (_, Value::Object(members)) => {
                let lines = members
                    .iter()
                    .map(|(name, text)| format!("{name} = {}", text.as_str().unwrap_or_default()));
                typed.with(name, lines.collect::<Vec<_>>().join("\n"))
            }
            _ => typed,
        }
    }

    /// What it says; none: nothing.
    fn said(&self, typed: &Typed, wrong: &mut Vec<FieldMistake>) -> Option<Value> {
        let name = self.key;
        match &self.kind {
            Kind::Text | Kind::Suggested(_) | Kind::Long | Kind::Radio(_) | Kind::Select(_) => {
                typed.some(name).map(Value::String)
            }
            Kind::Lines => Some(typed.lines(name))
                .filter(|lines| !lines.is_empty())
                .map(Value::from),
            Kind::Boxes(_) => Some(typed.all(name))
                .filter(|all| !all.is_empty())
                .map(Value::from),
            Kind::Tick => Some(Value::Bool(typed.get(name) == "yes")),
            Kind::Table => {
                let entries = typed.lines(name).into_iter().filter_map(|line| {
                    entry_of(&line)
                        .map_err(|text| wrong.push(FieldMistake::field(name, text)))
                        .ok()
                });
                Some(Value::Object(entries.collect()))
            }
            Kind::Rows(members) => {
                let rows = typed.lines(name).into_iter().filter_map(|line| {
                    row_of(members, &line)
                        .map_err(|text| wrong.push(FieldMistake::field(name, text)))
                        .ok()
                });
                Some(Value::Array(rows.collect()))
            }
            Kind::Secret => None,
        }
    }
}

fn texts(values: &[Value]) -> Vec<&str> {
    values.iter().filter_map(Value::as_str).collect()
}

/// A name may hold a `=` itself, so blanks belong around ours; an empty text is one, too.
fn entry_of(line: &str) -> Result<(String, Value), String> {
    let parts = line
        .split_once(" = ")
        .or_else(|| line.strip_suffix(" =").map(|name| (name, "")));
    let (name, text) = parts.ok_or_else(|| {
        format!("{line:?} must be a name, a blank, the character =, a blank, and what stands for it")
    })?;
    Ok((name.trim().to_owned(), text.trim().into()))
}

const BETWEEN: char = '|';

fn line_of(members: &[&str], row: &Value) -> String {
    let member = |name: &&str| match row.get(*name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Bool(true)) => Some((*name).to_owned()),
        _ => None,
    };
    members.iter().filter_map(member).collect::<Vec<_>>().join(" | ")
}

/// The last member is a word that may stand behind the others. The one before the last text may hold a bar itself.
fn row_of(members: &[&str], line: &str) -> Result<Value, String> {
    let Some((flag, names)) = members.split_last() else {
        return Err(String::new());
    };
    let wanted = || format!("{line:?} must be: {}", names.join(" | "));
    let flagged = line
        .rsplit_once(BETWEEN)
        .filter(|(_, last)| last.trim() == *flag)
        .map(|(rest, _)| rest);
    let mut texts = Vec::new();
    let mut rest = flagged.unwrap_or(line);
    for _ in names.iter().skip(2) {
        let (before, last) = rest.rsplit_once(BETWEEN).ok_or_else(wanted)?;
        texts.insert(0, last);
        rest = before;
    }
    let (first, second) = rest.split_once(BETWEEN).ok_or_else(wanted)?;
    let values = [first, second]
        .into_iter()
        .chain(texts)
        .map(|text| Value::from(text.trim()));
    let mut row: Map<String, Value> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
    if flagged.is_some() {
        row.insert((*flag).to_owned(), true.into());
    }
    Ok(Value::Object(row))
}

/// The fields of all sections.
pub fn all(sections: &[Section]) -> impl Iterator<Item = &Field> {
    sections.iter().flat_map(|section| &section.fields)
}

/// What is registered, as it would be typed.
pub fn typed(sections: &[Section], members: &Map<String, Value>) -> Typed {
    all(sections).fold(Typed::default(), |typed, field| {
        let value = match field.key.split_once('.') {
            Some((outer, inner)) => members.get(outer).and_then(|outer| outer.get(inner)),
            None => members.get(field.key),
        };
        match value {
            Some(value) => field.put(typed, value),
            None => typed,
        }
    })
}

/// What was typed, as members.
///
/// # Errors
/// What cannot be read.
pub fn said(sections: &[Section], typed: &Typed) -> Result<Map<String, Value>, Vec<FieldMistake>> {
    let (mut members, mut wrong) = (Map::new(), Vec::new());
    for field in all(sections) {
        let Some(value) = field.said(typed, &mut wrong) else {
            continue;
        };
        match field.key.split_once('.') {
            Some((outer, inner)) => {
                let outer = members
                    .entry(outer.to_owned())
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(outer) = outer {
                    outer.insert(inner.to_owned(), value);
                }
            }
            None => {
                members.insert(field.key.to_owned(), value);
            }
        }
    }
    if wrong.is_empty() { Ok(members) } else { Err(wrong) }
}

/// Mistakes of the registry, beside the fields that they are about: a mistake in a member that has several fields stands
/// beside the first of them.
pub fn beside(sections: &[Section], mistakes: &[Mistake]) -> Vec<FieldMistake> {
    let names: Vec<&str> = all(sections).map(|field| field.key).collect();
    let first_of = |key: &str| all(sections).find(|field| field.key.split('.').next() == Some(key));
    let placed = |mistake: &Mistake| match first_of(&mistake.key) {
        Some(field) => Mistake {
            key: field.key.into(),
            text: mistake.text.clone(),
        },
        None => mistake.clone(),
    };
    FieldMistake::of(&mistakes.iter().map(placed).collect::<Vec<_>>(), &names)
}

/// What is registered, section by section, in words; `usual` is what a new one has: what is said behind "More settings"
/// is told only where it differs.
pub fn facts(sections: &[Section], typed: &Typed, usual: &Typed) -> Vec<(&'static str, Vec<Fact>)> {
    let fact = |field: &Field| {
        let name = field.key;
        let values = match &field.kind {
            Kind::Secret => Vec::new(),
            Kind::Lines | Kind::Table | Kind::Rows(_) => typed.lines(name),
            Kind::Tick => {
                let is = typed.get(name) == "yes";
                vec![if is { "Yes" } else { "No" }.to_owned()]
            }
            Kind::Long => typed
                .some(name)
                .map(|_| "Kept here".to_owned())
                .into_iter()
                .collect(),
            _ => typed
                .all(name)
                .into_iter()
                .filter(|value| !value.is_empty())
                .collect(),
        };
        let in_words = |value: String| {
            let choice = field.choices().iter().find(|choice| choice.value == value);
            let words = choice.map_or_else(|| value.clone(), |choice| choice.label.clone());
            let page = field.leads_to.map(|path| format!("{path}/{value}"));
            let cell = if matches!(field.kind, Kind::Lines | Kind::Table) {
                Cell::code(words)
            } else {
                Cell::text(words)
            };
            cell.leads_to(page)
        };
        let is_usual = field.more && typed.all(name) == usual.all(name);
        (!values.is_empty() && !is_usual).then(|| Fact {
            label: field.label.trim_end_matches(" (optional)").to_owned(),
            values: values.into_iter().map(in_words).collect(),
        })
    };
    let told = |section: &Section| (section.title, section.fields.iter().filter_map(fact).collect());
    sections
        .iter()
        .map(told)
        .filter(|(_, facts): &(_, Vec<Fact>)| !facts.is_empty())
        .collect()
}

/// For the template: whether something is wrong with one of these.
pub fn has_wrong(wrong: &[FieldMistake], fields: &[Field]) -> bool {
    fields.iter().any(|field| is_wrong(wrong, field.key))
}
