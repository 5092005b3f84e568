//! Certificates other than the system's.

use super::connect::RedisBuilder;

/// Certificates, for `rediss` addresses.
impl RedisBuilder {
    /// The certificates, in PEM, of the authorities to trust instead of the system's. (The
    /// environment variable `SSL_CERT_FILE` changes those without a change of the program.)
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

    /// The client certificate for servers that require one, as Redis does by default
    /// (`tls-auth-clients`): the certificate, with any intermediate ones, and its private key, all
    /// in PEM.
    pub fn tls_identity(
        mut self,
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.identify(certificates.into(), key.into());
        self
    }
}
