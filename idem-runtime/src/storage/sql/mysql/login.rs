//! Why MySQL or MariaDB refuses a login, a database or a session's settings.

/// The reason behind an error number, if it is about the login.
pub(super) fn refusal(number: u16) -> Option<&'static str> {
    Some(match number {
        // The server says no more when the user requires an encrypted connection.
        1045 | 1698 => {
            "mysql does not accept the user name or the password (or takes an encrypted connection alone: `REQUIRE SSL` of the user, or \
             `require_secure_transport`)"
        }
        3118 | 4151 => "mysql has locked the account of this user",
        1820 | 1862 => "the password of this mysql user has expired",
        1251 | 1275 | 1524 => "mysql requires a login method that the client does not support",
        3159 => {
            "mysql takes encrypted connections alone (`require_secure_transport`): switch on a TLS feature of sqlx, and say so in the URL \
             (`ssl-mode=REQUIRED`)"
        }
        1129 => {
            "mysql takes no more connections from this host after too many that failed: `FLUSH HOSTS`, or raise `max_connect_errors`"
        }
        1130 => "mysql does not accept connections from this host",
        1044 => {
            "this mysql user may not use the database, or there is none of this name that it may know of"
        }
        1115 | 1193 | 1231 | 1232 | 1238 | 1273 | 1298 => {
            "mysql refuses a setting of the session: look at `charset`, `collation`, `timezone` and the other parameters of the URL"
        }
        1046 => "the address of the mysql server names no database",
        1049 => "mysql has no database of this name",
        _ => return None,
    })
}
