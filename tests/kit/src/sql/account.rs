//! Who runs a server.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, lchown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
    sync::OnceLock,
};

use nix::unistd::{User, geteuid};

/// Where there is no `nobody` to look up.
const NOBODY: u32 = 65_534;

/// The account for servers if the tests are run by root, which `postgres` and `mariadbd` refuse to be run by.
#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

fn unprivileged() -> Option<Account> {
    static ACCOUNT: OnceLock<Option<Account>> = OnceLock::new();
    *ACCOUNT.get_or_init(|| {
        let account = || match User::from_name("nobody") {
            Ok(Some(nobody)) => Account { user: nobody.uid.as_raw(), group: nobody.gid.as_raw() },
            _ => Account { user: NOBODY, group: NOBODY },
        };
        geteuid().is_root().then(account)
    })
}

/// Runs a command by the account for servers.
pub(super) fn demote(command: &mut Command) {
    if let Some(Account { user, group }) = unprivileged() {
        command.uid(user).gid(group);
    }
}

/// Checks that the account for servers can run a program.
///
/// # Panics
///
/// When it cannot; what a server says of that, if it says anything, helps nobody.
#[track_caller]
pub(super) fn assert_can_run(program: &Path) {
    let mut command = Command::new(program);
    command.arg("--version").current_dir("/");
    demote(&mut command);
    let who =
        if unprivileged().is_some() { "nobody, who runs servers for root," } else { "this user" };
    let output = command.output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{who} cannot run {}: {error} (may everybody enter the folders that it is in?)",
            program.display(),
        )
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{who} cannot run {}: {}", program.display(), errors.trim());
}

/// Gives a file or folder, and not what is in it, to the account for servers.
pub(super) fn give(path: &Path) {
    if let Some(Account { user, group }) = unprivileged() {
        lchown(path, Some(user), Some(group))
            .unwrap_or_else(|error| panic!("cannot give {} away: {error}", path.display()));
    }
}

/// Lets the account for servers enter a folder of root's, which a strict umask may have closed.
pub(super) fn let_in(dir: &Path) {
    if unprivileged().is_some() {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", dir.display()));
    }
}
