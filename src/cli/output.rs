//! What commands print to stdout: lines, JSON, tables.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use serde_json::{Map, Value};

use super::outcome::{CommandRefused, Done};

/// Prints a line, or several.
pub(super) fn print(text: impl Display) -> Done {
    match writeln!(std::io::stdout().lock(), "{text}") {
        // Whoever reads had enough.
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(|cause| CommandRefused(format!("cannot write to stdout: {cause}"))),
    }
}

pub(super) fn print_json(value: &Value) -> Done {
    print(format_args!("{value:#}"))
}

/// Prints rows in columns.
pub(super) fn print_table(head: &[&str], rows: &[Vec<String>]) -> Done {
    let head: Vec<String> = head.iter().map(|&text| text.to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        print(cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Prints an object, a line a key.
pub(super) fn print_object(object: &Map<String, Value>) -> Done {
    let width = object.keys().map(String::len).max().unwrap_or(0);
    for (key, value) in object {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        print(format_args!("{key:width$}  {value}"))?;
    }
    Ok(())
}

/// A time for people, from seconds since the epoch.
pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// A list for people to read.
pub(super) fn or_none(list: &[String]) -> String {
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(", ")
    }
}
