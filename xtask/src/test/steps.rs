//! The steps, in the order in which they run.

use std::fs;

use super::{features, verdict::Verdict};
use crate::{
    root,
    run::{Outcome, Tests, cargo, run},
    servers::{self, Server},
};

/// One thing that is checked.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&mut Servers) -> Verdict,
}

pub(super) const STEPS: [Step; 9] = [
    Step { name: "fmt", about: "the code is formatted", run: |_| fmt().into() },
    Step { name: "servers", about: "there are servers to test against", run: find_servers },
    Step { name: "clippy", about: "no warnings", run: |_| clippy().into() },
    Step { name: "features", about: "each feature compiles alone", run: |_| each_feature().into() },
    Step {
        name: "docs",
        about: "the documentation builds without warnings",
        run: |_| docs().into(),
    },
    Step {
        name: "doctests",
        about: "the examples in documentation and README run",
        run: |_| doctests().into(),
    },
    Step { name: "tests", about: "unit, integration and compile-time tests", run: tests },
    Step { name: "valkey", about: "the tests that use Redis, on Valkey", run: valkey },
    Step {
        name: "examples",
        about: "the examples that need no server run",
        run: |_| examples().into(),
    },
];

/// The servers, looked for when the first step needs them.
#[derive(Default)]
pub(super) struct Servers {
    redis: Option<Result<Server, String>>,
    valkey: Option<Result<Server, String>>,
}

impl Servers {
    fn redis(&mut self) -> &Result<Server, String> {
        self.redis.get_or_insert_with(servers::redis)
    }

    fn valkey(&mut self) -> &Result<Server, String> {
        self.valkey.get_or_insert_with(servers::valkey)
    }
}

fn find_servers(servers: &mut Servers) -> Verdict {
    match servers.valkey() {
        Ok(Server { path, version }) => println!("valkey {version}: {}", path.display()),
        Err(reason) => println!("valkey: none, {reason}"),
    }
    match servers.redis() {
        Ok(Server { path, version }) => {
            println!("redis {version}: {}", path.display());
            Outcome::SUCCESS.into()
        }
        Err(reason) => {
            eprintln!("{reason}");
            Outcome::FAILURE.into()
        }
    }
}

fn fmt() -> Outcome {
    with_component("rustfmt", "fmt --version", || run(&mut cargo("fmt --all --check")))
}

fn clippy() -> Outcome {
    with_component("clippy", "clippy --version", || {
        run(&mut cargo("clippy --workspace --all-targets --all-features -- --deny warnings"))
    })
}

/// Runs a check that needs a component of the toolchain, or says how to get it.
fn with_component(component: &str, probe: &str, check: impl FnOnce() -> Outcome) -> Outcome {
    if cargo(probe).output().is_ok_and(|output| output.status.success()) {
        return check();
    }
    eprintln!("{component} is missing: rustup component add {component}");
    Outcome::FAILURE
}

/// Features must be additive, and a feature that only works beside another one shows here.
fn each_feature() -> Outcome {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    let features = features::in_manifest(&manifest);
    if features.is_empty() {
        eprintln!("no features found in Cargo.toml");
        return Outcome::FAILURE;
    }
    let check = |features: &str| {
        let check = "clippy --quiet --package idempotency --no-default-features";
        println!("   {}", if features.is_empty() { "no features" } else { features });
        run(&mut cargo(&format!("{check} --features={features} -- --deny warnings")))
    };
    let alone = features.iter().map(|feature| check(feature));
    alone.fold(check(""), Outcome::and)
}

fn docs() -> Outcome {
    let mut command = cargo("doc --workspace --no-deps --all-features");
    run(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

fn doctests() -> Outcome {
    run(&mut cargo("test --doc --workspace --all-features --no-fail-fast"))
}

fn tests(servers: &mut Servers) -> Verdict {
    let Ok(redis) = servers.redis() else {
        eprintln!("there is no redis-server to test against: see the step `servers`");
        return Outcome::FAILURE.into();
    };
    let mut command = cargo("test --tests --workspace --all-features --no-fail-fast");
    run(command.env(servers::VARIABLE, &redis.path)).into()
}

fn valkey(servers: &mut Servers) -> Verdict {
    let valkey = match servers.valkey() {
        Ok(valkey) => valkey,
        Err(reason) => return Verdict::Skipped(format!("no Valkey to be had: {reason}")),
    };
    // The tests whose module or name says that they are about Redis. The testkit's go first: if it cannot start Valkey, nothing can.
    let on_valkey = |arguments: &str| {
        let mut command = cargo(&format!("test --all-features --no-fail-fast {arguments}"));
        run(command.env(servers::VARIABLE, &valkey.path))
    };
    let testkit = on_valkey("--package testkit --test it");
    let integration = on_valkey("--package idem-tests --test it -- redis");
    if integration.tests == Tests::default() {
        eprintln!("no integration test has `redis` in its name");
        return Outcome::FAILURE.into();
    }
    testkit.and(integration).into()
}

fn examples() -> Outcome {
    let outcomes = ["quickstart", "testing"].map(|example| {
        // As the README says it, which is without the features that the other steps switch on.
        run(&mut cargo(&format!("run --quiet --example {example}")))
    });
    outcomes.into_iter().fold(Outcome::SUCCESS, Outcome::and)
}
