//! People from a file of comma-separated values: checked row by row, then added all together or not at all.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::belonging::Known;
use super::links::{self, Issued};
use super::people::{self, PersonForm};
use super::{Mistake, Omitted, Refused, Registry};
use crate::clock::local_time::check_zone;
use crate::model::agency::Organization;
use crate::model::link::LinkKind;
use crate::model::names::username_key;
use crate::registry::spreadsheet::{self, Row};
use crate::store::people::listing;
use crate::store::{Conn, Stored, Tx};

/// The largest file that is read, in bytes.
pub const LARGEST: usize = 4 * 1024 * 1024;
/// How many people one file may have.
pub const MOST_ROWS: usize = 1_000;
/// How many usernames are looked up at once.
const LOOKED_UP: usize = 500;
/// How much of a cell a finding shows, in characters.
const SHOWN: usize = 80;

/// A column of the file.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name, in the first line.
    pub name: &'static str,
    /// Whether every row needs it.
    pub required: bool,
    /// What stands in it.
    pub what: &'static str,
    /// An example.
    pub example: &'static str,
}

const fn column(name: &'static str, required: bool, what: &'static str, example: &'static str) -> Column {
    Column {
        name,
        required,
        what,
        example,
    }
}

/// The columns that a file may have, in any order.
pub const COLUMNS: [Column; 15] = [
    column("username", true, "What the person types to sign in", "jroe"),
    column("name", true, "Full name", "Jane Roe, MD"),
    column(
        "email",
        false,
        "E-mail address; invitations can be sent there",
        "jroe@fulton.example",
    ),
    column(
        "email_verified",
        false,
        "yes, if the address is known to be the person’s",
        "yes",
    ),
    column("agency", false, "Name of the agency", "Fulton County ME"),
    column(
        "agency_id",
        false,
        "Identifier of the agency, a URI",
        "urn:oid:2.16.840.1.113883.3.9999.1",
    ),
    column(
        "jurisdiction",
        false,
        "Jurisdiction of the agency, where it is another one than this service’s",
        "",
    ),
    column(
        "roles",
        false,
        "Codes of roles, with blanks or semicolons between them",
        "medical-examiner",
    ),
    column(
        "npi",
        false,
        "National Provider Identifier, ten digits",
        "1234567893",
    ),
    column(
        "fhir_user",
        false,
        "FHIR resource of the person",
        "Practitioner/77",
    ),
    column("clearance", false, "U, L, M, N, R or V", ""),
    column("integrity", false, "High, Medium or Low", ""),
    column(
        "purposes",
        false,
        "Purposes of use, with blanks or semicolons between them",
        "",
    ),
    column(
        "license_expires",
        false,
        "Last day of the license, as YYYY-MM-DD",
        "2027-12-31",
    ),
    column(
        "time_zone",
        false,
        "Time zone, such as America/New_York",
        "America/New_York",
    ),
];

/// What is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMistake {
    /// The line of the file; none: it concerns the whole file.
    pub row: Option<u64>,
    /// The column.
    pub column: String,
    /// What stands there.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
}

impl RowMistake {
    fn of_file(row: Option<u64>, column: &str, found: &str, wanted: impl Into<String>) -> Self {
        let found = found.chars().take(SHOWN).collect();
        Self {
            row,
            column: column.to_owned(),
            found,
            wanted: wanted.into(),
        }
    }

    /// As JSON, for programs.
    pub fn view(&self) -> Value {
        json!({ "row": self.row, "column": self.column, "found": self.found, "wanted": self.wanted })
    }
}

impl std::fmt::Display for RowMistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(row) = self.row {
            write!(f, "line {row}: ")?;
        }
        if !self.column.is_empty() {
            write!(f, "{}: ", self.column)?;
        }
        if !self.found.is_empty() {
            write!(f, "found {:?}; ", self.found)?;
        }
        f.write_str(&self.wanted)
    }
}

/// A person of the file.
#[derive(Debug, Clone)]
struct Entry {
    line: u64,
    form: PersonForm,
    /// The cells by column, for findings.
    cells: HashMap<&'static str, String>,
}

/// A file, read.
#[derive(Debug, Clone, Default)]
pub struct File {
    entries: Vec<Entry>,
    findings: Vec<RowMistake>,
}

/// How far long work has come.
#[derive(Debug, Default)]
pub struct Progress(AtomicUsize);

impl Progress {
    /// How many rows are done.
    pub fn done(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file to begin with: the names of the columns and one example.
pub fn template() -> Vec<u8> {
    spreadsheet::write([
        COLUMNS.map(|column| column.name).to_vec(),
        COLUMNS.map(|column| column.example).to_vec(),
    ])
}

/// The links of people who were invited, as a file.
pub fn links_file(issued: &[Issued]) -> Vec<u8> {
    let ends = |at: i64| jiff::Timestamp::from_second(at).map_or_else(|_| String::new(), |at| at.to_string());
    let ends: Vec<String> = issued.iter().map(|issued| ends(issued.expires_at)).collect();
    let rows = issued.iter().zip(&ends).map(|(issued, ends)| {
        vec![
            issued.person.username.as_str(),
            issued.person.name.as_str(),
            issued.url.reveal(),
            ends.as_str(),
        ]
    });
    spreadsheet::write(std::iter::once(vec!["username", "name", "link", "works_until"]).chain(rows))
}

/// One cell after the other of a row, with what is wrong in it.
struct Cells<'a> {
    line: u64,
    cells: HashMap<&'static str, String>,
    findings: &'a mut Vec<RowMistake>,
}

impl Cells<'_> {
    fn text(&mut self, column: &'static str) -> Option<String> {
        let cell = self.cells.get(column).filter(|cell| !cell.is_empty()).cloned()?;
        if spreadsheet::is_formula(&cell) {
            self.wrong(
                column,
                "it must not begin with = + - @, which a spreadsheet takes for a formula",
            );
            return None;
        }
        Some(cell)
    }

    fn read<T: FromStr>(&mut self, column: &'static str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let cell = self.text(column)?;
        cell.parse()
            .map_err(|cause: T::Err| self.wrong(column, cause.to_string()))
            .ok()
    }

    fn words(&mut self, column: &'static str) -> Option<Vec<String>> {
        let cell = self.text(column)?;
        Some(
            cell.split([' ', ';'])
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    fn yes(&mut self, column: &'static str) -> Option<bool> {
        match self.text(column)?.to_lowercase().as_str() {
            "yes" | "true" | "1" => Some(true),
            "no" | "false" | "0" => Some(false),
            _ => {
                self.wrong(column, "it must be yes or no");
                None
            }
        }
    }

    fn wrong(&mut self, column: &'static str, wanted: impl Into<String>) {
        let found = self.cells.get(column).map(String::as_str).unwrap_or_default();
        self.findings
            .push(RowMistake::of_file(Some(self.line), column, found, wanted));
    }
}

impl File {
    /// Reads a file. What is wrong with it is among the findings.
    pub fn read(bytes: &[u8]) -> Self {
        let mut file = Self::default();
        let whole = |found: &str, wanted: &str| RowMistake::of_file(None, "", found, wanted);
        let (header, rows) = match spreadsheet::read(bytes, MOST_ROWS) {
            Ok(read) => read,
            Err(cause) => {
                file.findings
                    .push(RowMistake::of_file(cause.line, "", "", cause.text));
                return file;
            }
        };
        let columns = file.columns(&header);
        if rows.is_empty() && file.findings.is_empty() {
            file.findings.push(whole(
                "",
                "the file has no people: put one in each line behind the names of the columns",
            ));
        }
        if rows.len() > MOST_ROWS {
            let found = format!("more than {MOST_ROWS} people");
            let wanted = format!("at most {MOST_ROWS} people are taken at once: split the file");
            file.findings.push(whole(&found, &wanted));
        }
        // What stands under columns that are not known says nothing.
        if file.findings.is_empty() {
            for row in rows {
                file.entry(&columns, row);
            }
            file.find_twice();
        }
        file
    }

    /// Which column stands where.
    fn columns(&mut self, header: &[String]) -> Vec<&'static str> {
        let known: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        let mut columns = Vec::new();
        for name in header {
            let lower = name.to_lowercase();
            match COLUMNS.iter().find(|column| column.name == lower) {
                Some(column) if columns.contains(&column.name) => {
                    self.findings.push(RowMistake::of_file(
                        Some(1),
                        name,
                        "",
                        "this column stands there twice",
                    ));
                }
                Some(column) => columns.push(column.name),
                None => {
                    let wanted = format!(
                        "this is not a column that is known; known are {}",
                        known.join(", ")
                    );
                    self.findings.push(RowMistake::of_file(Some(1), "", name, wanted));
                }
            }
        }
        for column in COLUMNS
            .iter()
            .filter(|column| column.required && !columns.contains(&column.name))
        {
            self.findings.push(RowMistake::of_file(
                Some(1),
                column.name,
                "",
                "this column is missing in the first line",
            ));
        }
        columns
    }

    fn entry(&mut self, columns: &[&'static str], row: Row) {
        let mut cells = Cells {
            line: row.line,
            cells: columns.iter().copied().zip(row.cells).collect(),
            findings: &mut self.findings,
        };
        let agency = cells.text("agency");
        let (agency_id, jurisdiction) = (cells.text("agency_id"), cells.text("jurisdiction"));
        if agency.is_none() && (agency_id.is_some() || jurisdiction.is_some()) {
            cells.wrong("agency", "it must be there beside agency_id and jurisdiction");
        }
        let zone = cells.text("time_zone");
        if let Err(wanted) = zone.as_deref().map_or(Ok(()), check_zone) {
            cells.wrong("time_zone", wanted);
        }
        let zone = zone.map(|zone| ("zoneinfo".to_owned(), Value::String(zone)));
        let form = PersonForm {
            username: cells.text("username"),
            name: cells.text("name"),
            email: cells.text("email"),
            email_verified: cells.yes("email_verified"),
            organization: agency.map(|name| Organization {
                name,
                id: agency_id,
                jurisdiction,
            }),
            roles: cells.words("roles"),
            npi: cells.text("npi"),
            fhir_user: cells.text("fhir_user"),
            confidentiality: cells.read("clearance"),
            integrity: cells.read("integrity"),
            purposes: cells.words("purposes").map(Into::into),
            license_expires: cells.text("license_expires"),
            claims: Some(zone.into_iter().collect()),
            ..PersonForm::default()
        };
        let cells = cells.cells;
        self.entries.push(Entry {
            line: row.line,
            form,
            cells,
        });
    }

    fn find_twice(&mut self) {
        let mut first: HashMap<String, u64> = HashMap::new();
        for entry in &self.entries {
            let username = entry.form.username.as_deref().unwrap_or_default();
            if username.is_empty() {
                continue;
            }
            if let Some(line) = first.get(&username_key(username)) {
                let wanted = format!("line {line} has the same username; each person has one of her own");
                self.findings.push(RowMistake::of_file(
                    Some(entry.line),
                    "username",
                    username,
                    wanted,
                ));
            } else {
                first.insert(username_key(username), entry.line);
            }
        }
    }

    /// How many people it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has nobody.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of its people have an address that an invitation can be sent to.
    pub fn with_address(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.form.email.is_some())
            .count()
    }
}

/// The column that a key of the form stands in.
fn column_of(mistake: &Mistake) -> &str {
    match mistake.key.as_ref() {
        "organization" if mistake.text.starts_with("its id") => "agency_id",
        "organization" if mistake.text.starts_with("its jurisdiction") => "jurisdiction",
        "organization" => "agency",
        "confidentiality" => "clearance",
        "claims" => "time_zone",
        other => other,
    }
}

/// The drafts of a file, or what is wrong with it, in the order of its lines. Writes nothing.
fn plan(
    registry: &Registry,
    conn: &mut Conn,
    file: &File,
    progress: &Progress,
) -> Stored<Result<Vec<people::Draft>, Vec<RowMistake>>> {
    let mut findings = file.findings.clone();
    let mut drafts = Vec::with_capacity(file.entries.len());
    let mut known = Known::read(conn)?;
    // A cell that could not be read is told once.
    let told: HashSet<(Option<u64>, String)> = findings
        .iter()
        .map(|finding| (finding.row, finding.column.clone()))
        .collect();
    for entries in file.entries.chunks(LOOKED_UP) {
        let keys: Vec<String> = entries
            .iter()
            .map(|entry| username_key(entry.form.username.as_deref().unwrap_or_default()))
            .collect();
        let taken: HashSet<String> = listing::taken(conn, &keys)?.into_iter().collect();
        for (entry, key) in entries.iter().zip(&keys) {
            let mut mistakes = Vec::new();
            if taken.contains(key) {
                let text = "somebody has this username already: leave the line out, or change the person in the console";
                mistakes.push(Mistake {
                    key: "username".into(),
                    text: text.to_owned(),
                });
            }
            let form = with_agency(&entry.form, &known);
            match people::draft(registry, &form, Omitted::Keeps, None, &known) {
                Ok(draft) => match people::permitted(registry, conn, None, &draft.person)? {
                    Ok(()) => {
                        draft.agency.iter().for_each(|agency| known.plan(agency));
                        drafts.push(draft);
                    }
                    Err(more) => mistakes.extend(more),
                },
                Err(more) => mistakes.extend(more),
            }
            for mistake in &mistakes {
                let column = column_of(mistake);
                if !told.contains(&(Some(entry.line), column.to_owned())) {
                    let found = entry.cells.get(column).map(String::as_str).unwrap_or_default();
                    findings.push(RowMistake::of_file(
                        Some(entry.line),
                        column,
                        found,
                        mistake.text.clone(),
                    ));
                }
            }
            progress.step();
        }
    }
    findings.sort_by_key(|finding| finding.row);
    Ok(if findings.is_empty() {
        Ok(drafts)
    } else {
        Err(findings)
    })
}

/// The form, with the agency by its id where the cell has one that is registered.
fn with_agency(form: &PersonForm, known: &Known) -> PersonForm {
    let mut form = form.clone();
    let is_id = |inline: &Organization| inline.id.is_none() && known.all().get(&inline.name).is_some();
    if form.organization.as_ref().is_some_and(is_id) {
        form.agency = form.organization.take().map(|inline| inline.name);
    }
    form
}

/// Says what is wrong with a file; nothing, if it can be imported. Must not run where async tasks run.
pub fn check(
    registry: &Registry,
    file: &File,
    progress: &std::sync::Arc<Progress>,
) -> Result<Vec<RowMistake>, Refused> {
    let (registry, file, shared) = (registry.clone(), file.clone(), std::sync::Arc::clone(progress));
    progress.begin();
    let store = std::sync::Arc::clone(&registry.app.store);
    let planned = store.read_blocking(move |conn| plan(&registry, conn, &file, &shared))?;
    Ok(planned.err().unwrap_or_default())
}

/// Adds everybody of a file, each with an invitation, in one transaction. Must not run where async tasks run.
///
/// # Errors
/// What the store says; what is wrong with the file is part of the answer, and then nobody is added.
pub fn import(
    registry: &Registry,
    file: &File,
    progress: &std::sync::Arc<Progress>,
) -> Result<Result<Vec<Issued>, Vec<RowMistake>>, Refused> {
    let (file, progress) = (file.clone(), std::sync::Arc::clone(progress));
    registry.blocking(move |registry, tx| Ok(Ok(perform(registry, tx, &file, &progress)?)))
}

/// The same in a transaction of the caller's.
pub fn perform(
    registry: &Registry,
    tx: &mut Tx<'_>,
    file: &File,
    progress: &Progress,
) -> Stored<Result<Vec<Issued>, Vec<RowMistake>>> {
    progress.begin();
    Ok(match plan(registry, tx.conn(), file, &Progress::default())? {
        Ok(drafts) => Ok(write(registry, tx, &drafts, progress)?),
        Err(findings) => Err(findings),
    })
}

fn write(
    registry: &Registry,
    tx: &mut Tx<'_>,
    drafts: &[people::Draft],
    progress: &Progress,
) -> Stored<Vec<Issued>> {
    let mut issued = Vec::with_capacity(drafts.len());
    for draft in drafts {
        people::write(registry, tx, draft, None)?;
        issued.push(links::issue(registry, tx, &draft.person, LinkKind::Invitation)?);
        progress.step();
    }
    Ok(issued)
}
