//! Commands of cargo. They take minutes to hours, so this looks whether what they name exists: the packages, tests, examples, features and
//! files, and for our own tasks the words that the task knows. `cargo xtask test` runs the first of the README.

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use super::pages::root;

/// What the workspace has.
struct Workspace {
    packages: HashSet<String>,
    /// `test short` of `idem-verify`, `example quickstart` of `idempotency`.
    targets: HashSet<String>,
    /// `idempotency redis`.
    features: HashSet<String>,
    fuzz_targets: HashSet<String>,
    /// What `cargo xtask --help` prints.
    tasks: String,
}
/// The libFuzzer targets, a workspace of their own.
const FUZZ_DIR: &str = "tests/fuzz/libfuzzer";

static WORKSPACE: LazyLock<Workspace> = LazyLock::new(|| {
    let metadata = |manifest: &str| -> Value {
        let arguments = [
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version=1",
            "--manifest-path",
            manifest,
        ];
        serde_json::from_str(&cargo(&arguments)).unwrap()
    };
    let (mut packages, mut targets) = (HashSet::new(), HashSet::new());
    let (mut features, mut fuzz_targets) = (HashSet::new(), HashSet::new());
    let list = |value: &Value| value.as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for package in list(&metadata("Cargo.toml")["packages"]) {
        let name = text(&package["name"]);
        let own = package["features"].as_object().unwrap().keys();
        features.extend(own.map(|feature| format!("{name} {feature}")));
        for target in list(&package["targets"]) {
            targets.insert(format!(
                "{name} {} {}",
                text(&target["kind"][0]),
                text(&target["name"])
            ));
        }
        packages.insert(name);
    }
    for package in list(&metadata(&format!("{FUZZ_DIR}/Cargo.toml"))["packages"]) {
        fuzz_targets.extend(list(&package["targets"]).iter().map(|target| text(&target["name"])));
    }
    let tasks = cargo(&["run", "--quiet", "--offline", "--package", "xtask", "--", "--help"]);
    Workspace { packages, targets, features, fuzz_targets, tasks }
});

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every line of a console is a command that exists.
pub(super) fn commands_exist(console: &str) -> Ready<()> {
    let commands = console.lines().filter_map(|line| line.strip_prefix("$ "));
    let commands: Vec<_> = commands.collect();
    assert!(!commands.is_empty(), "no commands in:\n{console}");
    for command in commands {
        command_exists(command.split(" #").next().unwrap().trim());
    }
    ready(())
}

pub(super) fn command_exists(command: &str) {
    let words = command.split_whitespace().map(|word| word.trim_matches('\''));
    // Variables come first.
    let words: Vec<_> = words.skip_while(|word| word.contains('=')).collect();
    let ["cargo", task, arguments @ ..] = &words[..] else {
        panic!("no command of cargo: {command}")
    };
    let (own, others) = match arguments.iter().position(|word| *word == "--") {
        Some(end) => (&arguments[..end], &arguments[end + 1..]),
        None => (arguments, &[][..]),
    };
    match *task {
        "xtask" => task_exists(command, own),
        "run" | "test" | "add" => targets_exist(command, own),
        "mutants" => targets_exist(command, &[own, others].concat()),
        "fuzz" => match own {
            ["build", "--fuzz-dir", FUZZ_DIR] | ["run", "--fuzz-dir", FUZZ_DIR, "TARGET"] => {}
            ["run", "--fuzz-dir", FUZZ_DIR, target, _new, corpus] => {
                assert!(WORKSPACE.fuzz_targets.contains(*target), "{command}");
                assert!(root().join(corpus).is_dir(), "{command}");
            }
            _ => panic!("not known here: {command}"),
        },
        "install" => assert_eq!(own, ["cargo-fuzz"], "{command}"),
        "insta" => assert_eq!(own, ["review"], "{command}"),
        // As the step `crates` of `cargo xtask test` counts them.
        "tree" => {
            let counted = ["-e", "normal", "--prefix", "none", "--no-dedupe", "|", "sort", "-u"];
            assert_eq!(own, counted, "{command}");
        }
        _ => panic!("not known here: {command}"),
    }
}

/// The words that a task takes are in its help. Values are numbers, capitals that stand for something, or names that the help lists.
fn task_exists(command: &str, words: &[&str]) {
    let tasks = &WORKSPACE.tasks;
    let [task, arguments @ ..] = words else { panic!("no task: {command}") };
    if *task == "--help" {
        return;
    }
    let usage = tasks.lines().find(|line| line.starts_with(&format!("cargo xtask {task}")));
    let usage = usage.unwrap_or_else(|| panic!("no such task: {command}"));
    for argument in arguments {
        let is_placeholder = argument.chars().all(|letter| !letter.is_ascii_lowercase());
        let is_known = if argument.starts_with("--") {
            // What the benchmarks take is known to them alone.
            *task == "bench" || usage.contains(argument)
        } else {
            tasks
                .split(|end: char| !end.is_alphanumeric() && end != '-')
                .any(|word| word == *argument)
                || *task == "bench"
                || BACKENDS.contains(argument)
        };
        assert!(is_placeholder || is_known, "{argument} is not known to the task: {command}");
    }
}

/// What chaos is done to.
const BACKENDS: [&str; 5] = ["memory", "redis", "sqlite", "postgres", "mysql"];

/// The packages, tests, examples, features and files that a command names exist.
fn targets_exist(command: &str, words: &[&str]) {
    let workspace = &*WORKSPACE;
    let mut words = words.iter();
    let mut package = "idempotency".to_owned();
    let mut targets = Vec::new();
    while let Some(word) = words.next() {
        let mut value =
            || (*words.next().unwrap_or_else(|| panic!("{word} of what? {command}"))).to_owned();
        match *word {
            "-p" | "--package" | "--test-package" => {
                package = value();
                assert!(workspace.packages.contains(&package), "{package}: {command}");
            }
            "--test" => targets.push(format!("test {}", value())),
            "--example" => targets.push(format!("example {}", value())),
            "--features" => {
                for feature in value().split(',') {
                    let feature = format!("{package} {feature}");
                    assert!(workspace.features.contains(&feature), "{feature}: {command}");
                }
            }
            "--file" => {
                let file = value();
                let path = file.split('{').next().unwrap();
                let names = file.split_once('{').map_or("", |(_, rest)| rest);
                let names =
                    names.split(['}', ',']).filter(|name| !name.is_empty() && *name != ".rs");
                let mut files: Vec<_> = names.map(|name| format!("{path}{name}.rs")).collect();
                if files.is_empty() {
                    files.push(path.to_owned());
                }
                for file in files {
                    assert!(root().join(&file).is_file(), "{file}: {command}");
                }
            }
            _ => {}
        }
    }
    for target in targets {
        let wanted = format!("{package} {target}");
        assert!(workspace.targets.contains(&wanted), "there is no {wanted}: {command}");
    }
}
