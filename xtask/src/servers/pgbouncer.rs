//! `PgBouncer`, which stands between applications and Postgres.

use super::product::{Product, Server, not_older};

/// Tells the tests which program to start.
const VARIABLE: &str = "IDEM_PGBOUNCER";

const PGBOUNCER: Product = Product {
    name: "pgbouncer",
    servers: &["pgbouncer"],
    companions: &[],
    dirs: &["/usr/sbin", "/usr/local/bin"],
    packages: &[&["pgbouncer"]],
    version_in,
};

/// `PgBouncer`, without which there are no tests.
pub(crate) fn pgbouncer() -> Result<Server, String> {
    PGBOUNCER.find_or_fetch(VARIABLE).map_err(|reason| {
        format!(
            "PgBouncer 1.16 or later is needed, and {reason}\n\
             install it, then run this again:\n  \
             Debian, Ubuntu   sudo apt-get install pgbouncer\n  \
             Fedora           sudo dnf install pgbouncer\n  \
             Alpine           sudo apk add pgbouncer\n  \
             Arch             sudo pacman -S pgbouncer\n  \
             macOS            brew install pgbouncer\n\
             or name the program: {VARIABLE}=/path/to/pgbouncer"
        )
    })
}

/// The version in the first line, such as `PgBouncer 1.18.0`.
fn version_in(text: &str) -> Result<&str, String> {
    let version = text.lines().next().and_then(|line| line.strip_prefix("PgBouncer "));
    not_older(version.ok_or("it does not tell its version:")?, [1, 16])
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_read() {
        let debian = "PgBouncer 1.18.0\nlibevent 2.1.12-stable\nadns: c-ares 1.18.1\n";
        assert_eq!(version_in(debian).unwrap(), "1.18.0");
        assert!(version_in("PgBouncer 1.12.0\n").is_err());
        assert!(version_in("sh: not found").is_err());
    }
}
