//! The program: everything is in the library.

fn main() -> std::process::ExitCode {
    mdi_auth::cli::run()
}
