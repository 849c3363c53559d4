use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use walship_protocol::{Host, HostAddress, Target};
use walship_types::Timestamp;

use super::rates::Rates;
use super::terminal::Terminal;
use super::topology::sender_address;
use super::{ask, page, problems, text, verdict};
use crate::clock;
use crate::connection::block_on;
use crate::failure::Failure;

/// Nodes that are asked, at most, those found on the way among them.
const NODES_MAX: usize = 64;
/// Longest time that a node may take: a page that stands still says nothing of the others.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// How to watch.
pub(super) struct Options {
    /// From one look to the next.
    pub(super) every: Duration,
    /// One JSON object on each line.
    pub(super) json: bool,
    /// How many looks, if not until told to end.
    pub(super) count: Option<u64>,
}

/// Looks again and again. On a terminal this ends well whatever is shown, because a person has seen it.
pub(super) fn run(targets: Vec<Target>, options: &Options) -> Result<(), Failure> {
    block_on(watch(targets, options))
}

async fn watch(mut targets: Vec<Target>, options: &Options) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("could not wait for signals: {error}"));
    let (mut interrupt, mut terminate, mut resized) = (
        signal(SignalKind::interrupt()).map_err(failed)?,
        signal(SignalKind::terminate()).map_err(failed)?,
        signal(SignalKind::window_change()).map_err(failed)?,
    );
    let mut screen = if options.json { None } else { Terminal::take() };
    let mut rates = Rates::default();
    let mut printed = String::new();
    let mut looks = 0;
    loop {
        let next = Instant::now() + options.every;
        let nodes = look(&mut targets).await;
        rates.take_in(&nodes, Instant::now());
        let wrong = problems::all(&nodes);
        looks += 1;
        let last = options.count.is_some_and(|count| looks >= count);
        match &screen {
            Some(screen) => show(screen, &nodes, &rates, &wrong, options.every),
            None => print(&nodes, &wrong, options.json, &mut printed),
        }
        .map_err(|error| Failure::new(format!("could not write: {error}")))?;
        if last {
            return if screen.is_some() { Ok(()) } else { verdict(&wrong) };
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => break,
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = resized.recv() => {}
                key = key_of(&mut screen) => match key {
                    b'q' | b'Q' => return Ok(()),
                    _ => break,
                },
            }
            if let Some(screen) = &screen {
                // the window has another size: the same page, cut anew
                let _ = show(screen, &nodes, &rates, &wrong, options.every);
            }
        }
    }
}

async fn key_of(screen: &mut Option<Terminal>) -> u8 {
    match screen {
        Some(screen) => screen.key().await,
        None => std::future::pending().await,
    }
}

/// Asks all nodes at once, then those that they receive from, which are asked from then on.
async fn look(targets: &mut Vec<Target>) -> Vec<Value> {
    let mut nodes: Vec<Value> = Vec::new();
    while nodes.len() < targets.len() {
        let asked = nodes.len();
        let answers: Vec<_> = targets
            .iter()
            .skip(asked)
            .cloned()
            .map(|target| tokio::spawn(async move { ask(&target, LOOK_TIMEOUT).await }))
            .collect();
        for answer in answers {
            // a panic in there has been reported, and is an answer too
            nodes.push(answer.await.unwrap_or_else(|error| json!({ "error": error.to_string() })));
        }
        for at in asked..nodes.len() {
            let above = nodes.get(at).and_then(sender_address);
            let above = above.zip(targets.get(at)).and_then(|(address, like)| address_target(like, &address));
            let Some(above) = above.filter(|_| targets.len() < NODES_MAX) else { continue };
            let is_known = |other: &Target| other.hosts.iter().any(|host| above.hosts.contains(host));
            if !targets.iter().any(is_known) {
                targets.push(above);
            }
        }
    }
    nodes
}

/// The same user and database on another host.
fn address_target(like: &Target, address: &str) -> Option<Target> {
    let (host, port) = address.rsplit_once(':')?;
    let mut target = like.clone();
    target.hosts =
        vec![Host { address: HostAddress::Tcp(host.to_owned()), port: port.parse().ok()?, name: None }];
    Some(target)
}

fn show(
    screen: &Terminal,
    nodes: &[Value],
    rates: &Rates,
    wrong: &[String],
    every: Duration,
) -> std::io::Result<()> {
    let (width, height) = Terminal::size();
    let count = nodes.len();
    let title = format!(
        "walctl status   {count} node{}   {}   every {}   q quits",
        if count == 1 { "" } else { "s" },
        clock::timestamp(Timestamp::now()),
        clock::span(every),
    );
    let mut lines = vec![title, String::new()];
    lines.extend(page::lines(nodes, rates, wrong));
    screen.show(&page::fitted(lines, width, height))
}

/// Without a terminal: what has changed, and nothing else.
fn print(nodes: &[Value], wrong: &[String], as_json: bool, before: &mut String) -> std::io::Result<()> {
    let text = if as_json {
        let at = clock::timestamp(Timestamp::now());
        json!({ "time": at, "nodes": nodes, "problems": wrong }).to_string() + "\n"
    } else {
        nodes.iter().map(text::node).collect::<Vec<_>>().join("\n") + "\n"
    };
    if text == *before {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    *before = text;
    out.flush()
}
