use serde::{Deserialize, Serialize};

/// What a transfer process is told: JSON, its only argument. It tells a [`Transferred`] a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transferring {
    /// The database with the accounts and the records.
    pub database: String,
    /// What it is to do, all of it, each as often as it takes until there is a result.
    pub transfers: Vec<Transfer>,
    /// The step at which it stands still, in the transfer with this number, until it is killed.
    pub stands_still: Option<(Step, usize)>,
}

/// Money that goes from one account to another, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// Names it.
    pub id: String,
    /// Whose account loses it.
    pub from: u32,
    /// Whose account gets it.
    pub to: u32,
    /// How much it is.
    pub cents: i64,
}

/// A step of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The transaction has begun.
    Begun,
    /// The record is claimed, and the body has begun.
    Claimed,
    /// The money has left the one account.
    Debited,
    /// It has come to the other, and the body ends.
    Credited,
    /// The result is part of the transaction.
    Completed,
    /// The transaction is committed.
    Committed,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Begun,
        Self::Claimed,
        Self::Debited,
        Self::Credited,
        Self::Completed,
        Self::Committed,
    ];
}

/// What a transfer process tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transferred {
    /// It has come to its [`Step`].
    StandsStill,
    /// A transfer had this result, its own or a replay.
    Done {
        /// Which one.
        id: String,
        /// What the body of its one execution made up.
        receipt: String,
    },
    /// All of them had one.
    All,
}
