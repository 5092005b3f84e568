//! MariaDB and MySQL.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    account,
    product::{Installation, USER, data},
    template::template,
};
use crate::program;

const VARIABLE: &str = "IDEM_MYSQL_SERVER";

const PROGRAMS: [&str; 2] = ["mariadbd", "mysqld"];

/// Where distributions put them instead of into `PATH`.
const DIRS: [&str; 3] = ["/usr/sbin", "/usr/libexec", "/usr/local/sbin"];

/// The statements that make MariaDB's own tables, under the names of its versions, each in the order in which they must run.
const SYSTEM_TABLES: [[&str; 3]; 2] = [
    [
        "mariadb_system_tables.sql",
        "mariadb_performance_tables.sql",
        "mariadb_system_tables_data.sql",
    ],
    ["mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql"],
];

/// The same for making the data and for running on it.
const SETTINGS: [&str; 2] = ["--innodb-buffer-pool-size=64M", "--performance-schema=OFF"];

#[track_caller]
pub(super) fn installation() -> Installation {
    let program = server();
    let mut arguments = vec!["--no-defaults".to_owned()];
    let password = if let Some(share) = mariadb_share(&program) {
        // An unpacked package is not where it was made to be.
        let base = share.ancestors().nth(2).unwrap_or(&share);
        arguments.push(format!("--basedir={}", base.display()));
        arguments.push(format!("--lc-messages-dir={}", share.display()));
        arguments.push("--innodb-log-file-size=16M".to_owned());
        "secret"
    } else {
        // A second protocol, on a port of its own.
        arguments.push("--mysqlx=OFF".to_owned());
        // Packages set a folder that installing them would make.
        arguments.push("--secure-file-priv=NULL".to_owned());
        // With a password MySQL wants TLS or RSA, about which no test is.
        ""
    };
    arguments.extend(SETTINGS.map(Into::into));
    let template = template("mysql", &program, |dir| match mariadb_share(&program) {
        Some(share) => initialize_mariadb(&program, &arguments, &share, password, dir),
        None => initialize_mysql(&program, &arguments, password, dir),
    });
    let serving = [
        "--bind-address=127.0.0.1",
        // Another address than its numbers would be looked up at every connection.
        "--skip-name-resolve",
        "--max-connections=1000",
        "--skip-log-bin",
    ];
    arguments.extend(serving.map(Into::into));
    Installation { program, template, arguments, password }
}

pub(super) fn arguments(port: u16, dir: &Path, fsync: bool) -> Vec<String> {
    vec![
        format!("--datadir={}", data(dir).display()),
        format!("--port={port}"),
        format!("--socket={}", dir.join("server.sock").display()),
        format!("--pid-file={}", dir.join("server.pid").display()),
        format!("--tmpdir={}", dir.display()),
        // With 2 a commit reaches the system, and survives a killed server, without being forced to the disk.
        format!("--innodb-flush-log-at-trx-commit={}", if fsync { 1 } else { 2 }),
    ]
}

#[track_caller]
fn server() -> PathBuf {
    let places = DIRS.iter().flat_map(|dir| PROGRAMS.map(|name| Path::new(dir).join(name)));
    let found = program::named_by(VARIABLE)
        .or_else(|| PROGRAMS.iter().find_map(|name| program::find(Path::new(name))))
        .or_else(|| places.into_iter().find(|path| path.is_file()))
        .or_else(|| program::fetched("mariadb/mariadbd"));
    found.unwrap_or_else(|| {
        panic!(
            "the program mariadbd is missing: run `cargo xtask test`, which fetches it on Debian and Ubuntu, \
             or install MariaDB 10.6 or later (`apt-get install mariadb-server`, `brew install mariadb`), \
             or name a server by {VARIABLE}=/path/to/mariadbd (or mysqld, of MySQL 8)"
        )
    })
}

/// Where MariaDB keeps its messages and statements; `None` for a server that is MySQL, which has the statements inside.
fn mariadb_share(program: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(program).ok()?;
    // A program is in `bin`, `sbin` or `libexec` of its folder. One that was fetched is a script, with the package unpacked beside it.
    let bases = [real.parent()?.parent()?.to_owned(), real.with_file_name("root/usr")];
    let shares = bases
        .iter()
        .flat_map(|base| ["mariadb", "mysql"].map(|name| base.join("share").join(name)));
    shares.into_iter().find(|share| system_tables(share).is_some())
}

fn system_tables(share: &Path) -> Option<[PathBuf; 3]> {
    let sets = SYSTEM_TABLES.map(|set| set.map(|file| share.join(file)));
    sets.into_iter().find(|set| set.iter().all(|file| file.is_file()))
}

/// What its script `mariadb-install-db` does, without the script, which asks for more of its packages.
#[track_caller]
fn initialize_mariadb(
    program: &Path,
    arguments: &[String],
    share: &Path,
    password: &str,
    dir: &Path,
) {
    // A statement ends with its line.
    let mut statements =
        String::from("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n");
    for file in system_tables(share).iter().flatten() {
        statements += &fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    }
    // Accounts are not loaded in this mode until somebody asks.
    let _ = write!(statements, "\nFLUSH PRIVILEGES;\n{}", account_statements(password));
    let mut command = Command::new(program);
    command.args(arguments).arg("--bootstrap");
    command.arg("--innodb-flush-log-at-trx-commit=0");
    run(command, dir, &statements);
}

#[track_caller]
fn initialize_mysql(program: &Path, arguments: &[String], password: &str, dir: &Path) {
    let file = dir.with_extension("sql");
    fs::write(&file, account_statements(password))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    account::give(&file);
    let mut command = Command::new(program);
    command.args(arguments).arg("--initialize-insecure");
    command.arg(format!("--init-file={}", file.display()));
    run(command, dir, "");
    let _ = fs::remove_file(&file);
}

fn account_statements(password: &str) -> String {
    format!(
        "CREATE USER {USER}@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n\
         CREATE DATABASE {USER};\n"
    )
}

#[track_caller]
fn run(mut command: Command, dir: &Path, input: &str) {
    command.arg(format!("--datadir={}", dir.display())).current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    account::demote(&mut command);
    let name = command.get_program().display().to_string();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not run: {error}"));
    if let Some(mut stdin) = child.stdin.take() {
        // If it ended before it had read all, its messages say why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().expect("a child of this process can be waited for");
    assert!(
        output.status.success(),
        "{name} could not make its data folder: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
