//! Postgres, and MariaDB or MySQL.

use super::product::{Product, Server, not_older};

const POSTGRES_VARIABLE: &str = "IDEM_POSTGRES_SERVER";

const MYSQL_VARIABLE: &str = "IDEM_MYSQL_SERVER";

const POSTGRES: Product = Product {
    name: "postgres",
    servers: &["postgres"],
    companions: &["initdb"],
    dirs: &["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*"],
    packages: &[&["postgresql"]],
    version_in: postgres_version,
};

const MYSQL: Product = Product {
    name: "mariadb",
    servers: &["mariadbd", "mysqld"],
    companions: &[],
    dirs: &["/usr/sbin", "/usr/libexec", "/usr/local/sbin"],
    // Older releases have the version in the name of the first, which the other one depends on.
    packages: &[&["mariadb-server-core"], &["mariadb-server"]],
    version_in: mysql_version,
};

/// The Postgres server, without which there are no tests.
pub(crate) fn postgres() -> Result<Server, String> {
    POSTGRES.find_or_fetch(POSTGRES_VARIABLE).map_err(|reason| {
        format!(
            "Postgres 13 or later is needed, and {reason}\n\
             install it, then run this again:\n  \
             Debian, Ubuntu   sudo apt-get install postgresql\n  \
             Fedora           sudo dnf install postgresql-server\n  \
             Alpine           sudo apk add postgresql\n  \
             Arch             sudo pacman -S postgresql\n  \
             macOS            brew install postgresql\n\
             or name a server program, with initdb beside it: {POSTGRES_VARIABLE}=/path/to/postgres"
        )
    })
}

/// The MariaDB or MySQL server, without which there are no tests.
pub(crate) fn mysql() -> Result<Server, String> {
    MYSQL.find_or_fetch(MYSQL_VARIABLE).map_err(|reason| {
        format!(
            "MariaDB 10.6 or MySQL 8.0, or later, is needed, and {reason}\n\
             install it, then run this again:\n  \
             Debian, Ubuntu   sudo apt-get install mariadb-server\n  \
             Fedora           sudo dnf install mariadb-server\n  \
             Alpine           sudo apk add mariadb\n  \
             Arch             sudo pacman -S mariadb\n  \
             macOS            brew install mariadb\n\
             or name a server program: {MYSQL_VARIABLE}=/path/to/mariadbd"
        )
    })
}

/// The version in a line such as `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`.
fn postgres_version(text: &str) -> Result<&str, String> {
    let version =
        text.split_once("(PostgreSQL) ").and_then(|(_, rest)| rest.split_whitespace().next());
    not_older(version.ok_or("it does not tell its version:")?, [13, 0])
}

/// The version in a line such as `mariadbd  Ver 10.11.19-MariaDB for debian-linux-gnu on x86_64` or `mysqld  Ver 8.0.36 for Linux on x86_64`.
fn mysql_version(text: &str) -> Result<&str, String> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "Ver").skip(1);
    let version = words.next().ok_or("it does not tell its version:")?;
    not_older(version, if version.contains("MariaDB") { [10, 6] } else { [8, 0] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let debian = "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n";
        assert_eq!(postgres_version(debian).unwrap(), "15.20");
        assert!(postgres_version("postgres (PostgreSQL) 12.9\n").is_err());
        let mariadb = "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64\n";
        assert_eq!(mysql_version(mariadb).unwrap(), "10.11.19-MariaDB-0+deb12u1");
        let mysql =
            "/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)\n";
        assert_eq!(mysql_version(mysql).unwrap(), "8.0.36");
        assert!(mysql_version("mysqld  Ver 5.7.44 for Linux on x86_64\n").is_err());
        assert!(mysql_version("sh: not found\n").is_err());
    }
}
