//! NATS.

use super::product::{Product, Server, not_older};

/// Tells the tests which server program to start.
const VARIABLE: &str = "IDEM_NATS_SERVER";

const NATS: Product = Product {
    name: "nats",
    servers: &["nats-server"],
    companions: &[],
    dirs: &["/usr/sbin", "/usr/local/bin"],
    packages: &[&["nats-server"]],
    version_in,
};

/// The NATS server, without which there are no tests.
pub(crate) fn nats() -> Result<Server, String> {
    NATS.find_or_fetch(VARIABLE).map_err(|reason| {
        format!(
            "nats-server 2.9 or later is needed, and {reason}\n\
             install it, then run this again:\n  \
             Debian, Ubuntu   sudo apt-get install nats-server\n  \
             Fedora           sudo dnf install nats-server\n  \
             Alpine           sudo apk add nats-server\n  \
             Arch             sudo pacman -S nats-server\n  \
             macOS            brew install nats-server\n\
             or name a server program: {VARIABLE}=/path/to/nats-server"
        )
    })
}

/// The version in a line such as `nats-server: v2.9.10`.
fn version_in(text: &str) -> Result<&str, String> {
    let version = text.trim().strip_prefix("nats-server: v");
    not_older(version.ok_or("it does not tell its version:")?, [2, 9])
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_in("nats-server: v2.9.10\n").unwrap(), "2.9.10");
        assert!(version_in("nats-server: v2.1.9\n").is_err());
        assert!(version_in("sh: not found").is_err());
    }
}
