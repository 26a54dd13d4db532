//! Lists for spreadsheets: comma-separated values (RFC 4180) in UTF-8, read and written. A spreadsheet takes a cell that
//! begins with certain signs for a formula and runs it; what we write never does, and who reads can refuse it.

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};

/// Whether a spreadsheet would take a cell for a formula. A byte order mark before it is not seen: at the beginning of a file
/// it is no part of the cell.
pub fn is_formula(cell: &str) -> bool {
    let cell = cell.trim_start_matches('\u{feff}');
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'])
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line that it begins in, from 1.
    pub line: u64,
    /// Its cells, without blanks at their ends.
    pub cells: Vec<String>,
}

/// Why a file cannot be read: what was found and what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CsvMistake {
    /// The line, where there is one.
    pub line: Option<u64>,
    /// What was found and what is wanted.
    pub text: String,
}

/// How many columns are read.
const MOST_COLUMNS: usize = 200;

/// Reads a file: the names of its columns, and its rows, one more than `most` of them at the most. Lines without any text
/// are left out.
///
/// # Errors
/// The first reason why it cannot be read.
pub fn read(bytes: &[u8], most: usize) -> Result<(Vec<String>, Vec<Row>), CsvMistake> {
    let wrong = |line: Option<u64>, text: &str| CsvMistake {
        line,
        text: text.to_owned(),
    };
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(wrong(
            None,
            "this is a workbook (.xlsx), not a CSV file: save it as “CSV UTF-8” and try again",
        ));
    }
    // Spreadsheets put a mark before UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(cause) => {
            let good = bytes.get(..cause.valid_up_to()).unwrap_or_default();
            let line =
                u64::try_from(good.iter().filter(|byte| **byte == b'\n').count()).unwrap_or_default() + 1;
            return Err(wrong(
                Some(line),
                "this line holds characters that are not UTF-8: save the file as “CSV UTF-8” and try again",
            ));
        }
    };
    // One kind of line end, so that lines are counted as editors count them.
    let text = text.replace("\r\n", "\n");
    let mut lines = Lines {
        text: &text,
        byte: 0,
        line: 1,
    };
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map(cells).map_err(|cause| unreadable(&cause))?;
    let mut rows = Vec::new();
    if header.len() > MOST_COLUMNS {
        return Err(wrong(Some(1), "the first line names too many columns"));
    }
    for record in reader.records() {
        // Whoever counts them finds that there are too many.
        if rows.len() > most {
            break;
        }
        let record = record.map_err(|cause| unreadable(&cause))?;
        let row = Row {
            line: lines.at(record.position().map_or(0, Position::byte)),
            cells: cells(&record),
        };
        if row.cells.len() > header.len() {
            return Err(CsvMistake {
                line: Some(row.line),
                text: format!(
                    "this line has {} cells, but the first line names {} columns: a text with a comma must stand in double quotes",
                    row.cells.len(),
                    header.len()
                ),
            });
        }
        if row.cells.iter().any(|cell| !cell.is_empty()) {
            rows.push(row);
        }
    }
    Ok((header, rows))
}

/// Counts lines, on and on through a text.
struct Lines<'a> {
    text: &'a str,
    byte: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of a record that was read from this byte on: empty lines before it do not belong to it.
    fn at(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        let passed = self.text.as_bytes().iter().enumerate().skip(self.byte);
        for (place, letter) in passed {
            if place >= byte && *letter != b'\n' {
                break;
            }
            self.line += u64::from(*letter == b'\n');
            self.byte = place + 1;
        }
        self.line
    }
}

fn cells(record: &StringRecord) -> Vec<String> {
    record.iter().map(str::to_owned).collect()
}

fn unreadable(cause: &csv::Error) -> CsvMistake {
    let text = match cause.kind() {
        ErrorKind::Utf8 { .. } => "this line is not UTF-8".to_owned(),
        _ => format!("this line cannot be read: {cause}"),
    };
    CsvMistake {
        line: cause.position().map(Position::line),
        text,
    }
}

/// Writes rows, the names of the columns first. A cell that would be a formula gets an apostrophe in front, which
/// spreadsheets do not show.
pub fn write<'a>(rows: impl IntoIterator<Item = Vec<&'a str>>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        let safe = row.into_iter().map(|cell| {
            if is_formula(cell) {
                format!("'{cell}")
            } else {
                cell.to_owned()
            }
        });
        // Writing to memory fails only when rows have different lengths, which they have not.
        let _ = writer.write_record(safe);
    }
    writer.into_inner().unwrap_or_default()
}
