//! Redis and Valkey.

use super::product::{Product, Server, not_older};

/// Tells the tests which server program to start, of either product.
const VARIABLE: &str = "IDEM_REDIS_SERVER";

/// Names a Valkey to the step that tests on it, since the other steps take the first one to be about Redis.
const VALKEY_VARIABLE: &str = "IDEM_VALKEY_SERVER";

const REDIS: Product = Product {
    name: "redis",
    servers: &["redis-server"],
    companions: &[],
    dirs: &[],
    // One of the two has the program, the other one may only link to it.
    packages: &[&["redis-server", "redis-tools"]],
    version_in,
};

const VALKEY: Product = Product {
    name: "valkey",
    servers: &["valkey-server"],
    packages: &[&["valkey-server", "valkey-tools"]],
    ..REDIS
};

/// The Redis server, without which there are no tests.
pub(crate) fn redis() -> Result<Server, String> {
    REDIS.find_or_fetch(VARIABLE).map_err(|reason| {
        format!(
            "redis-server 7.0 or later is needed, and {reason}\n\
             install it, then run this again:\n  \
             Debian, Ubuntu   sudo apt-get install redis-server\n  \
             Fedora           sudo dnf install redis\n  \
             Alpine           sudo apk add redis\n  \
             Arch             sudo pacman -S redis\n  \
             macOS            brew install redis\n\
             or name a server program: {VARIABLE}=/path/to/redis-server"
        )
    })
}

/// The Valkey server, which not every distribution has.
pub(crate) fn valkey() -> Result<Server, String> {
    let valkey = VALKEY.find_or_fetch(VALKEY_VARIABLE)?;
    Ok(Server { variable: VARIABLE, ..valkey })
}

/// The version in a line such as `Redis server v=7.0.15 sha=00000000:0 …`.
fn version_in(text: &str) -> Result<&str, String> {
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="));
    not_older(version.ok_or("it does not tell its version:")?, [7, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_products_are_read() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n";
        assert_eq!(version_in(redis).unwrap(), "7.0.15");
        let valkey = "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n";
        assert_eq!(version_in(valkey).unwrap(), "8.1.1");
        assert!(version_in("sh: not found").is_err());
    }
}
