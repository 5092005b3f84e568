//! The steps, in the order in which they run.

use std::{path::PathBuf, process::Command};

use super::{dependencies, examples, features, manifest, verdict::Verdict};
use crate::{
    api,
    run::{Outcome, Tests, cargo, run},
    servers::{self, Server, clients, faketime},
};

/// One thing that is checked.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&mut Servers) -> Verdict,
}

pub(super) const STEPS: [Step; 15] = [
    Step { name: "fmt", about: "the code is formatted", run: |_| fmt().into() },
    Step {
        name: "toolchain",
        about: "the code needs the compiler that it declares",
        run: |_| manifest::toolchain(),
    },
    Step {
        name: "crates",
        about: "the default build is small",
        run: |_| manifest::crates().into(),
    },
    Step {
        name: "unused",
        about: "no dependency is unused",
        run: |_| dependencies::unused().into(),
    },
    Step {
        name: "deny",
        about: "licences, sources and banned crates",
        run: |_| dependencies::deny().into(),
    },
    Step {
        name: "advisories",
        about: "no dependency is known to be vulnerable",
        run: |_| dependencies::advisories(),
    },
    Step { name: "servers", about: "there are servers to test against", run: find_servers },
    Step { name: "clippy", about: "no warnings", run: |_| clippy().into() },
    Step { name: "features", about: "each feature compiles alone", run: |_| each_feature().into() },
    Step {
        name: "docs",
        about: "the documentation builds without warnings",
        run: |_| docs().into(),
    },
    Step {
        name: "api",
        about: "the public API is the one in tests/api",
        run: |_| api::compare().into(),
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
        run: |_| examples::run_all().into(),
    },
];

/// The servers, looked for when the first step needs them.
#[derive(Default)]
pub(super) struct Servers {
    redis: Option<Result<Server, String>>,
    valkey: Option<Result<Server, String>>,
    postgres: Option<Result<Server, String>>,
    mysql: Option<Result<Server, String>>,
    pgbouncer: Option<Result<Server, String>>,
    nats: Option<Result<Server, String>>,
    curl: Option<Result<Server, String>>,
    wrk: Option<Result<Server, String>>,
    python: Option<Result<Server, String>>,
    libfaketime: Option<Result<PathBuf, String>>,
}

impl Servers {
    fn redis(&mut self) -> &Result<Server, String> {
        self.redis.get_or_insert_with(servers::redis)
    }

    fn valkey(&mut self) -> &Result<Server, String> {
        self.valkey.get_or_insert_with(servers::valkey)
    }

    fn postgres(&mut self) -> &Result<Server, String> {
        self.postgres.get_or_insert_with(servers::postgres)
    }

    fn mysql(&mut self) -> &Result<Server, String> {
        self.mysql.get_or_insert_with(servers::mysql)
    }

    fn pgbouncer(&mut self) -> &Result<Server, String> {
        self.pgbouncer.get_or_insert_with(servers::pgbouncer)
    }

    fn nats(&mut self) -> &Result<Server, String> {
        self.nats.get_or_insert_with(servers::nats)
    }

    fn curl(&mut self) -> &Result<Server, String> {
        self.curl.get_or_insert_with(clients::curl)
    }

    fn wrk(&mut self) -> &Result<Server, String> {
        self.wrk.get_or_insert_with(clients::wrk)
    }

    fn python(&mut self) -> &Result<Server, String> {
        self.python.get_or_insert_with(clients::python)
    }

    /// Tells tests which servers and clients to start, or says what is missing.
    fn name_to(&mut self, tests: &mut Command) -> Result<(), String> {
        let all = [
            Self::redis,
            Self::postgres,
            Self::mysql,
            Self::pgbouncer,
            Self::nats,
            Self::curl,
            Self::wrk,
            Self::python,
        ];
        for find in all {
            find(self).as_ref().map_err(String::clone)?.name_to(tests);
        }
        Ok(())
    }

    fn libfaketime(&mut self) -> &Result<PathBuf, String> {
        self.libfaketime.get_or_insert_with(faketime::libfaketime)
    }

    /// Tells tests where libfaketime is. Those that need it fail without it.
    fn with_faketime(&mut self, mut tests: Command) -> Command {
        if let Ok(path) = self.libfaketime() {
            tests.env(faketime::VARIABLE, path);
        }
        tests
    }
}

fn find_servers(servers: &mut Servers) -> Verdict {
    match servers.valkey() {
        Ok(Server { path, version, .. }) => println!("valkey {version}: {}", path.display()),
        Err(reason) => println!("valkey: none, {reason}"),
    }
    let faketime = found(servers.libfaketime(), |path| format!("libfaketime: {}", path.display()));
    let server = |servers: &Result<Server, String>, name: &str| {
        found(servers, |Server { path, version, .. }| {
            format!("{name} {version}: {}", path.display())
        })
    };
    let redis = server(servers.redis(), "redis");
    let postgres = server(servers.postgres(), "postgres");
    let mysql = server(servers.mysql(), "mysql");
    let pgbouncer = server(servers.pgbouncer(), "pgbouncer");
    let nats = server(servers.nats(), "nats");
    let curl = server(servers.curl(), "curl");
    let wrk = server(servers.wrk(), "wrk");
    let python = server(servers.python(), "python");
    let all = [redis, postgres, mysql, pgbouncer, nats, curl, wrk, python];
    all.into_iter().fold(faketime, Outcome::and).into()
}

fn found<T>(what: &Result<T, String>, describe: impl Fn(&T) -> String) -> Outcome {
    match what {
        Ok(found) => {
            println!("{}", describe(found));
            Outcome::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            Outcome::FAILURE
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
    let check = |package: &str, features: &str| {
        let check = format!("clippy --quiet --package {package} --no-default-features");
        println!("   {package}: {}", if features.is_empty() { "no features" } else { features });
        run(&mut cargo(&format!("{check} --features={features} -- --deny warnings")))
    };
    let each = |package: &str, manifest: &str| match features::of(manifest) {
        Ok(names) => names
            .iter()
            .map(|feature| check(package, feature))
            .fold(check(package, ""), Outcome::and),
        Err(error) => {
            eprintln!("{manifest}: {error}");
            Outcome::FAILURE
        }
    };
    // The facade's `outbox` has no database: a database with the outbox alone shows here.
    let alone =
        each("idempotency", "Cargo.toml").and(each("idem-outbox", "idem-outbox/Cargo.toml"));
    alone.and(examples::each_compiles_alone())
}

fn docs() -> Outcome {
    let mut command = cargo("doc --workspace --no-deps --all-features");
    run(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

fn doctests() -> Outcome {
    // That one is the runtime once more, and cargo heeds `doctest = false` only where it runs other tests as well.
    run(workspace_tests("--doc").args(["--exclude", "idem-schedules"]))
}

/// How many tests of a binary run at once.
const THREADS: &str = "RUST_TEST_THREADS";

fn tests(servers: &mut Servers) -> Verdict {
    let mut all = servers.with_faketime(workspace_tests("--tests"));
    if servers.name_to(&mut all).is_err() {
        eprintln!("there are not all servers to test against: see the step `servers`");
        return Outcome::FAILURE.into();
    }
    // Tests that wait for leases, polls and servers: more of them at once than there are processors.
    if std::env::var_os(THREADS).is_none() {
        all.env(THREADS, "8");
    }
    let all = run(&mut all);
    // With features of serde_json that change what others see of it, and that a user's build may have.
    let json = "test --package idem-json-tests --features=serde-json-features --test json_features";
    all.and(run(&mut cargo(json))).into()
}

/// The integration tests that are about servers, which their names say, those over TLS, and the testkit's own.
fn valkey(servers: &mut Servers) -> Verdict {
    let integration = workspace_tests("--test it -- redis sentinel cluster");
    let mut integration = servers.with_faketime(integration);
    let valkey = match servers.valkey() {
        Ok(valkey) => valkey,
        Err(reason) => return Verdict::Skipped(format!("no Valkey to be had: {reason}")),
    };
    let on_valkey = |tests: &mut Command| run(valkey.name_to(tests));
    let integration = on_valkey(&mut integration);
    if integration.success && integration.tests == Tests::default() {
        eprintln!("no integration test has `redis` in its name");
        return Outcome::FAILURE.into();
    }
    on_valkey(&mut workspace_tests("--test kit --test tls")).and(integration).into()
}

/// Some tests of the workspace. The packages and features are always the same, so that nothing is built twice.
fn workspace_tests(which: &str) -> Command {
    let features = features::all_as_argument();
    cargo(&format!("test --workspace --no-fail-fast {features} {which}"))
}
