//! The demo as a newcomer meets it: one command, lines to paste into one shell, and both dataflows answer.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::TempDir;

/// A demo that runs.
pub struct Demo {
    child: Child,
    /// What it printed before it was ready.
    pub printed: String,
}

/// A port whose successor is free as well.
pub fn two_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < 65_000 && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

fn command(data: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mdi-auth"));
    command.arg("demo").arg("--data").arg(data).args(["--port", &port.to_string()]);
    command
}

impl Demo {
    pub fn start(data: &Path, port: u16) -> Self {
        let mut child = command(data, port).stdout(Stdio::piped()).spawn().unwrap();
        let mut printed = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line == "ready" {
                return Self { child, printed };
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        let ended = child.wait().unwrap();
        panic!("the demo ended: {ended}: {printed}");
    }

    /// Pastes the printed lines into one shell; `set -e` ends it at the first line that does not end with 0.
    fn paste(&self, shell: &str) -> String {
        let lines = self.printed.lines().skip_while(|line| !line.starts_with("# "));
        let script = lines.collect::<Vec<_>>().join("\n");
        let mut shell = Command::new(shell)
            .args(["-e", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Ends it as a service manager would, and answers its exit code.
    fn end(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_printed_lines_work_when_pasted() {
    let dir = TempDir::new();
    let (data, port) = (dir.path().join("demo"), two_ports());
    let mut demo = Demo::start(&data, port);
    let said = demo.paste("sh");
    assert_eq!(said.matches("\"access_token\"").count(), 2, "a token for each dataflow: {said}");
    assert_eq!(said.matches("\"active\":true").count(), 2, "{said}");
    assert_eq!(said.matches("HTTP 200").count(), 2, "{said}");
    assert_eq!(said.matches("HTTP 401").count(), 2, "{said}");
    assert!(said.contains("\"resourceType\":\"Bundle\""), "{said}");
    demo.paste("bash");
    assert_eq!(demo.end(), Some(0), "SIGTERM ends it well");
    // The next start prints the same again, and the same lines work.
    let again = Demo::start(&data, port);
    assert_eq!(again.printed, demo.printed);
    again.paste("sh");
}

#[test]
fn a_demo_does_not_touch_what_is_not_its_own() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("patients.db"), "precious").unwrap();
    let refused = command(dir.path(), two_ports()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("demo"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was made");
    // A port that is taken is named before anything is made.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let data = dir.path().join("new");
    let refused = command(&data, taken.local_addr().unwrap().port()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--port"));
    assert!(!data.exists());
}
