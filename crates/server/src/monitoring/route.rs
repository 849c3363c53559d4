use serde_json::json;

use super::board::Board;
use super::health::{self, Wanted};
use super::page::PAGE;
use super::reading::Reading;
use super::{metrics, status};

const PATHS: &str = "/, /metrics, /healthz, /readyz, /readyz/leader, /readyz/follower and /status.json";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What a request is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// Answers a path with its query. Reads a few files, so it may take a moment.
pub(super) fn answer(board: &Board, path: &str, query: &str) -> Answer {
    match path {
        "/" => ok("text/html; charset=utf-8", PAGE.to_owned()),
        // the process lives as long as it can answer
        "/healthz" => ok(TEXT, "ok\n".to_owned()),
        "/metrics" => match board.source() {
            Some(source) => {
                ok("text/plain; version=0.0.4; charset=utf-8", metrics::text(source.as_ref(), board.events()))
            }
            None => starting(),
        },
        "/status.json" => match board.source().map(|source| status::json(source.as_ref(), board, query)) {
            Some(Ok(status)) => ok(JSON, status.to_string()),
            Some(Err(invalid)) => refused(400, &invalid),
            None => starting(),
        },
        _ => match path.strip_prefix("/readyz") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => readiness(board, rest, query),
            _ => refused(404, &format!("there is no {path}: there are {PATHS}")),
        },
    }
}

fn readiness(board: &Board, path: &str, query: &str) -> Answer {
    let wanted = match Wanted::parse(path, query) {
        Ok(wanted) => wanted,
        Err(invalid) => return refused(400, &invalid),
    };
    let (Some(source), None) = (board.source(), board.not_ready()) else {
        let why = board.not_ready().unwrap_or("the node is starting up");
        let body = json!({ "ready": false, "reasons": [why] });
        return Answer { status: 503, content_type: JSON, body: body.to_string() + "\n" };
    };
    let reading = Reading::take(source.as_ref());
    let reasons = health::reasons(&reading, &wanted);
    let status = if reasons.is_empty() { 200 } else { 503 };
    Answer { status, content_type: JSON, body: health::answer(&reading, &reasons).to_string() + "\n" }
}

fn ok(content_type: &'static str, body: String) -> Answer {
    Answer { status: 200, content_type, body }
}

fn starting() -> Answer {
    refused(503, "the node is starting up")
}

fn refused(status: u16, why: &str) -> Answer {
    Answer { status, content_type: TEXT, body: format!("{why}\n") }
}
