//! Claims of finished keys.

use std::time::Duration;

use bytes::Bytes;

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{Stage, completion, failure, payload, replayed, result, rival};
use super::cases;
use crate::record::{Failure, Finish, State};
use crate::storage::{Claimed, Complete, Written};

const REPLAY: &str =
    "`Completed` or `Failed`: `Replay` with the stored bytes; nothing changes, retention included.";

cases! { "claim";
    REPLAY => [
        result_is_replayed_to_everybody,
        every_result_is_replayed_byte_for_byte,
        every_failure_is_replayed_as_it_was,
        codec_tag_is_replayed,
        replay_does_not_extend_retention,
    ],
}

async fn result_is_replayed_to_everybody<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, finish) in [("completed", result("1")?), ("failed", failure("declined"))] {
        let claim = stage.finished(name, &finish).await?;
        let State::Finished(stored) = stage.record(&claim.key).await?.state else {
            return same("finished", &false, &true);
        };
        for claim in [rival(&claim), claim] {
            let answer = stage.unchanged(&claim.key, stage.storage().claim(&claim)).await?;
            same("the claim", &answer, &Claimed::Replay(stored.clone()))?;
        }
    }
    Ok(())
}

async fn every_result_is_replayed_byte_for_byte<H: Harness>(stage: &Stage<H>) -> Verdict {
    let all_bytes: Vec<u8> = (0..=255).cycle().take(64 * 1024 + 1).collect();
    let results = [
        ("empty", Bytes::new()),
        ("zero", Bytes::from_static(b"\0")),
        ("line ends", Bytes::from_static(b"\r\n$5\r\n")),
        ("no text", Bytes::from_static(&[0xff, 0xfe, 0x80, 0xc3, 0x28])),
        ("all bytes", Bytes::from(all_bytes)),
        ("large", Bytes::from(vec![0xa5; 1 << 20])),
    ];
    for (name, bytes) in results {
        replays(stage, name, Finish::Completed(payload("raw", bytes)?)).await?;
    }
    Ok(())
}

async fn every_failure_is_replayed_as_it_was<H: Harness>(stage: &Stage<H>) -> Verdict {
    let error = |message: &str, typed| Failure::Error { message: message.into(), typed };
    let failures = [
        ("empty", error("", None)),
        ("text", error("карта отклонена 🦀\n\t\"quoted\" \\ \u{0}", None)),
        ("long", error(&"x".repeat(100_000), None)),
        ("typed", error("declined", Some(payload("json", r#"{"code":51}"#)?))),
        ("typed, empty", error("", Some(payload("msgpack", "")?))),
        ("typed, binary", error("", Some(payload("msgpack", &[0, 0xff, 0, 10, 13][..])?))),
        ("too large", Failure::TooLarge { size: u64::MAX }),
        ("not that large", Failure::TooLarge { size: (1 << 53) + 1 }),
        ("unserializable", Failure::Unserializable),
        ("indeterminate", Failure::Indeterminate),
    ];
    for (name, failure) in failures {
        replays(stage, name, Finish::Failed(failure)).await?;
    }
    Ok(())
}

async fn codec_tag_is_replayed<H: Harness>(stage: &Stage<H>) -> Verdict {
    for tag in ["j", "json", "JSON", "my-codec-v2", "0", "123456789012345"] {
        replays(stage, tag, Finish::Completed(payload(tag, "same bytes")?)).await?;
    }
    Ok(())
}

async fn replays<H: Harness>(stage: &Stage<H>, name: &str, finish: Finish) -> Verdict {
    let claim = stage.finished(name, &finish).await?;
    let replay = replayed(stage.storage().claim(&rival(&claim)).await?)?;
    same(name, &replay.finish, &finish)
}

async fn replay_does_not_extend_retention<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, ttl: Duration| {
        let claim = stage.processing(&key).await?;
        let complete = Complete { ttl, ..completion(&claim, &result("1")?) };
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        stage.elapse(ttl / 2).await;
        replayed(stage.storage().claim(&rival(&claim)).await?)?;
        stage.outlive(ttl / 2).await;
        stage.acquire(rival(&claim)).await.map(drop)
    };
    stage.given_time(Duration::from_secs(2), case).await
}
