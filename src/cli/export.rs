//! `mdi-auth export`: the registration as an apply file.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::outcome::{CommandRefused, Done};
use super::output::print;
use super::start::Start;
use crate::registry::export;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to make; without it, stdout
    file: Option<PathBuf>,
    /// Leave people out
    #[arg(long)]
    without_users: bool,
}

pub(super) fn run(start: &Start, arguments: &Arguments) -> Done {
    let registry = start.registry()?;
    let text = export::export(&registry, !arguments.without_users)?;
    match &arguments.file {
        None => print(text.trim_end()),
        Some(file) => write(file, &text)
            .map_err(|cause| CommandRefused(format!("cannot make {}: {cause}", file.display()))),
    }
}

/// Makes a file that nobody else may read: it says who works where.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}
