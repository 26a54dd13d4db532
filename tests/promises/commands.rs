//! `--help` of the program and of each of its commands.

use std::process::Command;

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mdi-auth"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names below `Commands:`.
fn commands_of(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // What continues a description is indented deeper.
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn help_of_every_command() {
    let mut text = String::new();
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = help(&words);
        let mut below: Vec<Vec<String>> = commands_of(&help)
            .into_iter()
            .map(|name| [&command[..], &[name]].concat())
            .collect();
        below.reverse();
        waiting.extend(below);
        text.push_str(&format!(
            "$ {}\n{help}\n",
            [&["mdi-auth"], &words[..], &["--help"]].concat().join(" ")
        ));
    }
    assert!(text.matches("$ mdi-auth ").count() > 40, "{text}");
    insta::assert_snapshot!(text);
}
