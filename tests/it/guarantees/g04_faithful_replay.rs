//! G4: a replay equals the first result byte for byte after the codec, or is an explicit error; never a silent re-run.

use std::collections::BTreeMap;
use std::fmt;

use erased_serde::{Deserializer, Serialize as ErasedSerialize};
use idem_runtime::codec::{AnyCodec, Codec, CodecError, CodecTag, Json, MsgPack};
use idem_runtime::policy::ReplayErrors;
use idem_runtime::record::{Finish, Finished, State};
use idem_runtime::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, kind};

on_every_backend!(
    a_replay_equals_the_first_result,
    a_replay_of_an_error_equals_the_first_error,
    a_stored_failure_is_replayed_as_its_text,
    json_and_msgpack_handles_read_each_others_records,
    a_record_of_an_unknown_codec_is_an_error_and_not_a_rerun,
    a_record_of_another_type_is_an_error_and_not_a_rerun,
    a_codec_of_the_users_own_replays,
    a_codec_of_the_users_own_reads_no_records_but_its_own,
);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    id: u64,
    debt: i64,
    rate: f64,
    tiny: f64,
    text: String,
    bytes: Vec<u8>,
    nothing: Option<()>,
    lines: BTreeMap<String, (u8, char)>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Card { last: [u8; 4] },
    Cash,
}

fn receipt() -> Receipt {
    Receipt {
        id: u64::MAX,
        debt: i64::MIN,
        rate: 0.1 + 0.2,
        tiny: 5e-324,
        text: "naïve \u{1f980} \"quoted\" \\ \u{0} \n".to_owned(),
        bytes: (0..=255).collect(),
        nothing: None,
        lines: [(String::new(), (0, '\u{10ffff}')), ("a".to_owned(), (255, 'ß'))].into(),
        kind: Kind::Card { last: [4, 2, 4, 2] },
    }
}

async fn payload(stage: &Stage, key: &str) -> (String, Vec<u8>) {
    let record = stage.record(key).await.unwrap();
    let State::Finished(Finished { finish: Finish::Completed(payload), .. }) = record.state else {
        panic!("{record:?}")
    };
    (payload.codec.to_string(), payload.bytes.to_vec())
}

async fn a_replay_equals_the_first_result(stage: Stage) {
    for (key, codec) in [("json", AnyCodec::from(Json)), ("msgpack", AnyCodec::from(MsgPack))] {
        let one = stage.process_with(|builder| builder.codec(codec.clone())).await;
        let two = stage.process_with(|builder| builder.codec(codec.clone())).await;
        let first =
            one.charge(key).run_with_outcome(async { Ok::<_, Error>(receipt()) }).await.unwrap();
        assert_eq!(first.value, receipt());
        let stored = payload(&stage, key).await;
        for process in [&one, &two, &one] {
            let body = async { Ok::<_, Error>(Receipt { kind: Kind::Cash, ..receipt() }) };
            let replay = process.charge(key).run_with_outcome(body).await.unwrap();
            assert!(replay.is_replayed());
            assert_eq!(replay.value, receipt());
            assert_eq!(replay.value.rate.to_bits(), receipt().rate.to_bits());
        }
        assert_eq!(payload(&stage, key).await, stored);
        assert_eq!(stored, (key.to_owned(), codec.encode(&receipt()).unwrap().bytes.to_vec()));
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Declined {
    Funds { missing: u64 },
    Ours(String),
}

impl From<Error> for Declined {
    fn from(error: Error) -> Self {
        Self::Ours(error.kind().as_str().to_owned())
    }
}

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "declined: {self:?}")
    }
}

async fn a_replay_of_an_error_equals_the_first_error(stage: Stage) {
    for process in [stage.process().await, stage.process().await] {
        let body = async {
            stage.ledger.record("k", "");
            Err::<(), _>(Declined::Funds { missing: u64::MAX })
        };
        let error = process.charge("k").errors(ReplayErrors).run(body).await.unwrap_err();
        assert_eq!(error, Declined::Funds { missing: u64::MAX });
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn a_stored_failure_is_replayed_as_its_text(stage: Stage) {
    let first = stage.process().await.charge("k");
    let declined = || Error::new(ErrorKind::Configuration, "no such card");
    let error = first.run(async { Err::<(), _>(declined()) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let later = stage.process().await.charge("k");
    let error = later.run(async { Ok::<(), Error>(()) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreviouslyFailed);
    assert_eq!(error.failure(), Some("no such card"));
    assert_eq!(error.operation(), Some("charge"));
    assert!(!error.to_string().contains("no such card"), "{error}");
}

async fn json_and_msgpack_handles_read_each_others_records(stage: Stage) {
    let json = stage.process_with(|builder| builder.codec(Json)).await;
    let msgpack = stage.process_with(|builder| builder.codec(MsgPack)).await;
    for (key, writer, reader) in [("json", &json, &msgpack), ("msgpack", &msgpack, &json)] {
        writer.charge(key).run(async { Ok::<_, Error>(receipt()) }).await.unwrap();
        assert_eq!(payload(&stage, key).await.0, key);
        let body = async { Ok::<_, Error>(Receipt { kind: Kind::Cash, ..receipt() }) };
        let replay = reader.charge(key).run_with_outcome(body).await.unwrap();
        assert!(replay.is_replayed());
        assert_eq!(replay.value, receipt());
    }
}

/// JSON under another name.
struct Own;

impl Codec for Own {
    fn tag(&self) -> CodecTag {
        CodecTag::new("own-1").unwrap()
    }
    fn encode(&self, value: &dyn ErasedSerialize) -> Result<Vec<u8>, CodecError> {
        Ok(serde_json::to_vec(value)?)
    }
    fn decode(
        &self,
        bytes: &[u8],
        read: &mut dyn FnMut(&mut dyn Deserializer<'_>) -> Result<(), erased_serde::Error>,
    ) -> Result<(), CodecError> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        read(&mut <dyn Deserializer<'_>>::erase(&mut json))?;
        Ok(json.end()?)
    }
}

async fn a_codec_of_the_users_own_replays(stage: Stage) {
    for _ in 0..2 {
        let process = stage.process_with(|builder| builder.codec(Own)).await;
        assert_eq!(process.charge("k").run(stage.body("k", "first")).await.unwrap(), "first");
    }
    assert_eq!(payload(&stage, "k").await.0, "own-1");
    assert_eq!(stage.ledger.executions("k"), 1);
}

/// It could read some of the others' bytes, and would make something else of them.
async fn a_codec_of_the_users_own_reads_no_records_but_its_own(stage: Stage) {
    let own = stage.process_with(|builder| builder.codec(Own)).await;
    let msgpack = stage.process_with(|builder| builder.codec(MsgPack)).await;
    // MessagePack writes the number 0x37 as the byte 0x37, which in JSON is the number 7.
    let number = || async { Ok::<_, Error>(0x37_u8) };
    msgpack.charge("k").run(number()).await.unwrap();
    let replay = own.charge("k").run_with_outcome(number()).await.unwrap();
    assert_eq!((replay.value, replay.is_replayed()), (0x37, true));
}

async fn a_record_of_an_unknown_codec_is_an_error_and_not_a_rerun(stage: Stage) {
    let own = stage.process_with(|builder| builder.codec(Own)).await;
    own.charge("k").run(stage.body("k", "first")).await.unwrap();
    let before = stage.record("k").await;
    let json = stage.process().await.charge("k");
    let error = json.run(stage.body("k", "second")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("own-1"), "{source}");
    assert_eq!(stage.ledger.executions("k"), 1);
    assert_eq!(stage.record("k").await.map(|r| r.state), before.map(|r| r.state));
}

async fn a_record_of_another_type_is_an_error_and_not_a_rerun(stage: Stage) {
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    let body = async {
        stage.ledger.record("k", "second");
        Ok::<_, Error>(7_u32)
    };
    assert_eq!(kind(process.charge("k").run(body).await), ErrorKind::Serialization);
    assert_eq!(stage.ledger.executions("k"), 1);
    assert_eq!(process.charge("k").run(stage.body("k", "third")).await.unwrap(), "first");
}
