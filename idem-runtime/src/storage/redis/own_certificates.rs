//! Certificates other than the system's.

use super::connect::RedisBuilder;

/// Certificates, for `rediss` addresses.
impl RedisBuilder {
    /// The certificates, in PEM, of the authorities that the servers' certificates have to come from, instead of those that the
    /// system trusts. (Those can be changed without a change of the program: by the environment variable `SSL_CERT_FILE`.)
    ///
    /// ```no_run
    /// # use idem_runtime as idempotency;
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use idempotency::storage::RedisStorage;
    ///
    /// let storage = RedisStorage::builder("rediss://redis.internal:6379/")
    ///     .tls_ca(std::fs::read("ca.pem")?)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.trust(pem.into());
        self
    }

    /// What this client shows to servers that ask for a certificate, as Redis does unless it is told otherwise (`tls-auth-clients`): a
    /// certificate, with those between it and its authority, and its private key, all in PEM.
    pub fn tls_identity(
        mut self,
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.identify(certificates.into(), key.into());
        self
    }
}
