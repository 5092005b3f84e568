//! Keys that a careless comparison confuses.

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{Stage, completion, payload, releasing, replayed, rival};
use super::cases;
use crate::record::Finish;
use crate::storage::Written;

const BYTES: &str = "Keys are compared byte by byte.";

cases! { "keys";
    BYTES => [look_alikes_are_kept_apart, releasing_one_leaves_its_look_alikes],
}

fn look_alikes() -> Vec<String> {
    let mut names: Vec<String> = [
        "a",
        "A",
        "a ",
        "a  ",
        " a",
        " ",
        "á",
        "a\u{301}",
        "à",
        "ä",
        "ae",
        "æ",
        "ﬁ",
        "fi",
        "ß",
        "ss",
        "ẞ",
        "ı",
        "i",
        "I",
        "İ",
        "Ａ",
        "a\u{200b}",
        "a\u{feff}",
        "a\u{a0}",
        "🦀",
        "🦀🦀",
        "漢字",
        "\u{10ffff}",
        "\u{fffd}",
        "%",
        "_",
        "a%",
        "a_",
        "a*",
        "a?",
        "[a]",
        "[ab]",
        "^",
        "\\",
        "\\\\",
        "\\a",
        "'",
        "''",
        "\"",
        "`",
        ";",
        "--",
        "{a}",
        "{a}b",
        "{b}a",
        "{}",
        "{{a}}",
        "}{",
        ":",
        "a:",
        ":a",
        "a:b",
        "a::b",
        "/",
        "a/b",
        "a/",
        "\u{ad}",
        "0",
        "00",
        "-0",
        "1e0",
        "1",
        "null",
        "NULL",
        "true",
        "$1",
        "#",
        "&",
        "<a>",
        "a\u{2028}",
    ]
    .map(str::to_owned)
    .to_vec();
    let long = "k".repeat(511);
    names.extend([long.clone(), format!("{long}1"), format!("{long}2"), format!("{long} ")]);
    names
}

async fn look_alikes_are_kept_apart<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut claims = Vec::new();
    for name in look_alikes() {
        claims.push((stage.processing(&name).await?, name));
    }
    for (claim, name) in &claims {
        let finish = Finish::Completed(payload("raw", name.clone())?);
        let answer = stage.storage().complete(&completion(claim, &finish)).await?;
        same(name, &answer, &Written::Done)?;
    }
    for (claim, name) in &claims {
        let finish = Finish::Completed(payload("raw", name.clone())?);
        let replay = replayed(stage.storage().claim(&rival(claim)).await?)?;
        same(name, &replay.finish, &finish)?;
    }
    let mut listed: Vec<_> = stage.listed(1_000).await?.into_iter().map(|(key, _)| key).collect();
    listed.sort();
    listed.dedup();
    let mut made: Vec<_> = claims.into_iter().map(|(claim, _)| claim.key).collect();
    made.sort();
    same("the keys that a scan lists", &listed, &made)
}

async fn releasing_one_leaves_its_look_alikes<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut claims = Vec::new();
    for name in look_alikes() {
        claims.push(stage.processing(&name).await?);
    }
    for (number, claim) in claims.iter().enumerate() {
        if number % 2 == 0 {
            let answer = stage.storage().release(&releasing(claim)).await?;
            same("release", &answer, &Written::Done)?;
        }
    }
    for (number, claim) in claims.iter().enumerate() {
        if number % 2 == 0 {
            stage.acquire_released(rival(claim), 2).await?;
        } else {
            same("owner", &stage.record(&claim.key).await?.owner, &claim.owner)?;
        }
    }
    Ok(())
}
