//! Each target with its corpus, and with what mutations make of that: the same ones every time.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that fails, and says what it did"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fastrand::Rng;
use idem_fuzz::{TARGETS, Target};

/// How many mutations a fast target gets: few, or with `IDEM_LONG` as many as there is time for.
fn mutations() -> u64 {
    if std::env::var_os("IDEM_LONG").is_some() { 30_000_000 } else { 100_000 }
}

fn of(name: &str) {
    let target = TARGETS.into_iter().find(|target| target.name == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/corpus").join(name);
    let corpus = read(&folder);
    assert!(corpus.len() >= 3, "hardly a corpus in {}", folder.display());
    for input in &corpus {
        feed(target, input);
    }
    let (begun, count) = (Instant::now(), mutations() * target.pace / 1000);
    let mut random = Rng::with_seed(0);
    for _ in 0..count {
        feed(target, &mutated(&corpus, &mut random));
    }
    println!(
        "{name}: {} of the corpus and {count} mutations in {:.1?}",
        corpus.len(),
        begun.elapsed()
    );
}

fn read(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn feed(target: Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/artifacts");
        let path = found.join(target.name).join("found-by-smoke");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, input).unwrap();
        eprintln!(
            "`{}` says no to {}\nwhich is in {}",
            target.name,
            input.escape_ascii(),
            path.display()
        );
        resume_unwind(panic);
    }
}

/// One input of the corpus, changed in a few places.
fn mutated(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut input = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=input.len());
        match random.u8(..8) {
            0 => input.truncate(at),
            1 => input.insert(at, random.u8(..)),
            2 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            3 if at < input.len() => input[at] = random.u8(..),
            4 if at < input.len() => drop(input.remove(at)),
            5 => {
                let other = &corpus[random.usize(..corpus.len())];
                let from = random.usize(..=other.len());
                let to = random.usize(from..=other.len());
                input.splice(at..at, other[from..to].iter().copied()).for_each(drop);
            }
            6 => {
                let end = random.usize(at..=input.len());
                input.drain(at..end);
            }
            _ => {
                let special = [0, 1, 0x7F, 0x80, 0xFF, b'"', b'\\', b'%', b'{', b'}', b'\n'];
                input.insert(at, special[random.usize(..special.len())]);
            }
        }
        input.truncate(4096);
    }
    input
}

#[test]
fn canonical_json() {
    of("canonical_json");
}

#[test]
fn codec_envelope() {
    of("codec_envelope");
}

#[test]
fn http_header() {
    of("http_header");
}

#[test]
fn http_multipart() {
    of("http_multipart");
}

#[test]
fn http_snapshot() {
    of("http_snapshot");
}

#[test]
fn key_template() {
    of("key_template");
}

#[test]
fn redis_record() {
    of("redis_record");
}

#[test]
fn sql_row() {
    of("sql_row");
}
