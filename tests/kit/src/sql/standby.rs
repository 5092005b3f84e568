//! A server that only follows another one, as after a failover seen from the wrong side.

use std::fs;

use super::{Product, account, product::data, server::SqlServer};

impl SqlServer {
    /// Ends Postgres in order and starts it as a standby, on the same port and data: it answers and takes no writes. `SELECT pg_promote()` makes
    /// it a primary again.
    ///
    /// # Panics
    ///
    /// When it is not Postgres, or does not come up.
    #[track_caller]
    pub fn restart_as_standby(&mut self) {
        assert_eq!(self.product(), Product::Postgres, "only Postgres has standbys of this kind");
        self.stop_gracefully();
        let signal = data(self.dir()).join("standby.signal");
        fs::write(&signal, "")
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", signal.display()));
        account::give(&signal);
        self.start_again();
    }
}
