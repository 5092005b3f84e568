//! The bank: the world outside, which books every charge that it is asked for and knows nothing of keys.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::api::NewPayment;
use crate::auth::Account;
use crate::refusal::Refusal;

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Currency {
    Eur,
    Gbp,
    Usd,
}

/// In the currency's smallest unit. JSON has one kind of number, so that `1999.0` is as good as `1999`.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "u32")]
pub(crate) struct Amount(u32);

const MOST: f64 = 1_000_000.0;

impl TryFrom<f64> for Amount {
    type Error = &'static str;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    fn try_from(amount: f64) -> Result<Self, &'static str> {
        if amount.fract() != 0.0 || !(1.0..=MOST).contains(&amount) {
            return Err("the amount is no whole number from 1 to 1000000");
        }
        Ok(Self(amount as u32))
    }
}

impl From<Amount> for u32 {
    fn from(Amount(amount): Amount) -> Self {
        amount
    }
}

/// A charge as its owner sees it.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    pub(crate) status: String,
}

/// A line of the book. The reference is what the one who charged gave: here the idempotency key.
#[derive(Deserialize, Serialize)]
struct Line {
    account: String,
    reference: String,
    #[serde(flatten)]
    payment: Payment,
}

pub(crate) struct Bank {
    takes: Duration,
    book: Mutex<Book>,
}

struct Book {
    file: File,
    lines: Vec<Line>,
}

impl Bank {
    pub(crate) fn open(path: &Path, takes: Duration) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let lines: io::Result<_> =
            BufReader::new(&file).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect();
        Ok(Self { takes, book: Mutex::new(Book { lines: lines?, file }) })
    }

    /// Books a charge, or declines it.
    pub(crate) async fn charge(
        &self,
        account: &Account,
        reference: &str,
        new: &NewPayment,
    ) -> Result<Payment, Refusal> {
        let NewPayment { amount, currency, ref card } = *new;
        sleep(self.takes).await;
        if card == "tok_declined" {
            return Err(Refusal::Declined);
        }
        let mut book = self.book.lock();
        let id = format!("pay_{}", book.lines.len() + 1);
        let payment = Payment { id, amount, currency, status: "succeeded".to_owned() };
        let line = Line {
            account: account.to_string(),
            reference: reference.to_owned(),
            payment: payment.clone(),
        };
        let mut text = serde_json::to_vec(&line).map_err(|_| Refusal::BankIsDown)?;
        text.push(b'\n');
        book.file.write_all(&text).map_err(|_| Refusal::BankIsDown)?;
        book.lines.push(line);
        Ok(payment)
    }

    pub(crate) fn of_account(&self, account: &Account) -> Vec<Payment> {
        let account = account.to_string();
        let book = self.book.lock();
        let mine = book.lines.iter().filter(|line| line.account == account);
        mine.map(|line| line.payment.clone()).collect()
    }
}
