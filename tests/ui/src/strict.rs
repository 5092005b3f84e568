//! Annotated functions in a crate that tolerates nothing: no expansion makes a warning of its own. Clippy checks it with
//! the rest of the workspace, and `pass/strict_crate.rs` does so for the compiler alone.

#![deny(
    warnings,
    clippy::pedantic,
    missing_docs,
    unused_qualifications,
    missing_debug_implementations
)]

use std::time::Duration;

use idempotency::codec::Json;
use idempotency::{Error, Idempotency, idempotent};
use serde::{Deserialize, Serialize};

/// What an order asks for.
#[derive(Debug, Serialize)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub customer: String,
}

/// What is handed out for an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The order's number.
    pub order_id: u64,
}

/// A refusal.
#[derive(Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// For now.
    Busy,
    /// Of the library.
    Duplicate(String),
}

impl Refusal {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Duplicate(error.to_string())
    }
}

/// A service that holds its handle.
#[derive(Debug)]
pub struct Shop {
    /// The handle.
    pub idempotency: Idempotency,
    /// Where it is.
    pub region: String,
}

const LEASE: Duration = Duration::from_secs(30);

/// Without options.
///
/// # Errors
///
/// None of its own.
#[idempotent]
pub async fn bare(id: u64) -> Result<u64, Error> {
    Ok(id)
}

/// Every option of a free function.
///
/// # Errors
///
/// None of its own.
#[idempotent(
    key = "order:{order.id}:{note}",
    ttl = "15m",
    lease = LEASE,
    wait = "500ms",
    on_error = "replay",
    retry_if = Refusal::is_busy,
    store_if = |receipt| receipt.order_id > 0,
    on_crash = "park",
    skip(_attempt, flags),
    tenant = order.customer,
    name = "place-order",
    codec = "json",
    map_err = |error| Refusal::Duplicate(error.to_string())
)]
pub async fn every_option(
    order: &Order,
    mut note: String,
    _attempt: u32,
    (flags, _): (u8, u8),
) -> Result<Receipt, Refusal> {
    const LIMIT: usize = 10;
    note.push('!');
    if note.len() > LIMIT || flags > 0 {
        return Err(Refusal::Busy);
    }
    Ok(Receipt { order_id: order.id })
}

impl Shop {
    /// Every kind of option of a method.
    ///
    /// # Errors
    ///
    /// None of its own.
    #[idempotent(key = "place:{self.region}:{id}", with = self.idempotency, codec = Json, on_error = "release")]
    pub async fn place(&self, id: u64, _underscored: u8) -> Result<Receipt, Refusal> {
        Ok(Receipt { order_id: id })
    }

    /// A method without a key.
    ///
    /// # Errors
    ///
    /// None of its own.
    #[idempotent(with = &self.idempotency)]
    #[must_use = "the receipt is the proof"]
    #[inline]
    pub async fn unkeyed(&self, id: u64) -> Result<Receipt, Refusal> {
        Ok(Receipt { order_id: id })
    }

    /// A future instead of an async function.
    ///
    /// # Errors
    ///
    /// None of its own.
    #[idempotent(with = self.idempotency)]
    pub fn deferred(&self, id: u64) -> impl Future<Output = Result<Receipt, Refusal>> + Send {
        let order_id = id;
        async move { Ok(Receipt { order_id }) }
    }
}
