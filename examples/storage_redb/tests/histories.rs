//! The storage beside the transition table.

use idempotency::testing::conformance::histories::{ByClock, compare};

use crate::disk::Disk;
use crate::harness::OnRedb;

#[tokio::test]
async fn storage_answers_as_the_table_does() {
    let compared = compare(&ByClock(OnRedb::on_disk(Disk::default())), 0..300).await;
    compared.unwrap_or_else(|divergence| panic!("{divergence}"));
}
