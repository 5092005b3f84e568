//! A worker that is a process of its own: the first line of its standard input is its [`Setup`], every further one a delivery; its answers
//! are lines on its standard output.

use std::io;
use std::process::Stdio;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::Setup;
use crate::bank::Bank;
use crate::work::{self, Answer, Delivery};

/// The first line: not on the command line, which others can read, because a storage's URL may hold a password.
#[derive(Serialize, Deserialize)]
struct Start {
    worker: u32,
    setup: Setup,
}

/// Starts this program again as a worker.
pub(crate) fn spawn(
    worker: u32,
    setup: Setup,
    mut deliveries: mpsc::UnboundedReceiver<Delivery>,
    answers: mpsc::UnboundedSender<Answer>,
) -> anyhow::Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("work-on-stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a worker process")?;
    let mut input = child.stdin.take().context("a worker without standard input")?;
    let mut output = BufReader::new(child.stdout.take().context("a worker without output")?);
    tokio::spawn(async move {
        // A worker that was killed reads no more, and its deliveries are made to another.
        write_line(&mut input, &Start { worker, setup }).await?;
        while let Some(delivery) = deliveries.recv().await {
            write_line(&mut input, &delivery).await?;
        }
        anyhow::Ok(())
    });
    tokio::spawn(async move {
        while let Ok(Some(answer)) = read_line(&mut output).await {
            let _ = answers.send(answer);
        }
    });
    Ok(child)
}

/// The worker's side.
pub(crate) async fn work_on_stdin() -> anyhow::Result<()> {
    let mut input = BufReader::new(tokio::io::stdin());
    let Start { worker, setup } = read_line(&mut input).await?.context("nothing to start with")?;
    let idem = work::connect(&setup).await?;
    let bank = Bank::open(&setup.ledger, worker, setup.bank_takes)?;

    let (deliver, deliveries) = mpsc::unbounded_channel();
    let (answer, mut answers) = mpsc::unbounded_channel();
    let working = tokio::spawn(work::work(idem, setup.on_crash, bank, deliveries, answer));
    let answering = tokio::spawn(async move {
        let mut output = tokio::io::stdout();
        while let Some(answer) = answers.recv().await {
            write_line::<Answer>(&mut output, &answer).await?;
        }
        anyhow::Ok(())
    });
    while let Some(delivery) = read_line(&mut input).await? {
        deliver.send(delivery)?;
    }
    drop(deliver);
    working.await?;
    answering.await?
}

async fn write_line<T: Serialize>(
    output: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    output.write_all(&line).await?;
    Ok(output.flush().await?)
}

async fn read_line<T: DeserializeOwned>(
    input: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<T>> {
    let mut line = String::new();
    match input.read_line(&mut line).await? {
        0 => Ok(None),
        _ => Ok(Some(serde_json::from_str(&line)?)),
    }
}
