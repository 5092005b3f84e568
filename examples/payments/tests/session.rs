//! The page `README.md`: its commands are run as they are, and what comes back is what it shows.

use std::env;
use std::process::Command;

use tempfile::TempDir;
use testkit::clients::curl;

use crate::service::Service;

const README: &str = include_str!("../README.md");

/// Where the page's service listens.
const LISTENS: &str = "127.0.0.1:8080";

#[test]
fn the_session_of_the_readme_is_what_happens() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path());
    // The page says `curl`, wherever that is.
    let curl = curl();
    let mut path = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    path.insert(0, curl.parent().unwrap().to_owned());
    let path = env::join_paths(path).unwrap();
    let mut commands = 0;
    for (command, shown) in session() {
        let here = command.replace(LISTENS, &service.addr.to_string());
        let output = Command::new("sh").args(["-c", &here]).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        let output = String::from_utf8(output.stdout).unwrap();
        assert_eq!(without_date(&output).trim_end(), shown.trim_end(), "{command}");
        commands += 1;
    }
    assert!(commands > 5, "the page has a session");
}

/// The commands of the page and what it shows of their output, but for the one that starts the service.
fn session() -> Vec<(&'static str, String)> {
    let mut session: Vec<(&str, String)> = Vec::new();
    let mut is_console = false;
    for line in README.lines() {
        if let Some(language) = line.strip_prefix("```") {
            is_console = language == "console";
        } else if let (true, Some(command)) = (is_console, line.strip_prefix("$ ")) {
            session.push((command, String::new()));
        } else if let (true, Some((_, shown))) = (is_console, session.last_mut()) {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    let (start, shown) = session.remove(0);
    assert_eq!(start, "cargo run --package payments");
    assert_eq!(shown, format!("listening on http://{LISTENS}\n"));
    session
}

fn without_date(output: &str) -> String {
    let lines = output.lines().filter(|line| !line.starts_with("date: "));
    lines.map(str::trim_end).collect::<Vec<_>>().join("\n")
}
