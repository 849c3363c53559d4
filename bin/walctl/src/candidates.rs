use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use walship_client::{Connection, Purpose};
use walship_protocol::{Command, Target};
use walship_types::{Lsn, SystemId, TimelineId};

use crate::connection::{connect, server};
use crate::failure::Failure;
use crate::table::Table;

/// Longest time that a follower may take to say where it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long the followers wait for a new leader, and follow no old one.
const PLEDGE_TIME: Duration = Duration::from_secs(60);

/// A server that may be promoted, and what it says of itself.
pub(crate) struct Candidate {
    /// One host, whatever its role.
    pub(crate) target: Target,
    pub(crate) answer: Result<Answer, Failure>,
}

/// Where a server is.
pub(crate) struct Answer {
    system_id: SystemId,
    timeline: TimelineId,
    flushed: Lsn,
    role: Role,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Leader,
    Follower,
    Fenced(Fence),
}

/// Why a server that led takes no writes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    timeline: TimelineId,
    /// With its name, as the server was told.
    node: String,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} leads timeline {}", self.node, self.timeline)
    }
}

impl Role {
    fn name(&self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Fenced(_) => "fenced",
        }
    }
}

impl Candidate {
    fn host(&self) -> String {
        self.target.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Asks every host of every connection string, all at once; the result is in their order.
pub(crate) async fn ask_all(servers: &[String]) -> Result<Vec<Candidate>, Failure> {
    let mut targets: Vec<Target> = Vec::new();
    for text in servers {
        let target = server(text)?;
        targets.extend(target.hosts.iter().map(|host| Target {
            hosts: vec![host.clone()],
            session_attributes: walship_protocol::SessionAttributes::Any,
            ..target.clone()
        }));
    }
    let mut asked = JoinSet::new();
    for (place, target) in targets.into_iter().enumerate() {
        asked.spawn(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(&target)).await;
            let silent = |_| Err(Failure::new(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())));
            (place, Candidate { target, answer: answer.unwrap_or_else(silent) })
        });
    }
    let mut answered = asked.join_all().await;
    answered.sort_by_key(|(place, _)| *place);
    Ok(answered.into_iter().map(|(_, candidate)| candidate).collect())
}

async fn ask(target: &Target) -> Result<Answer, Failure> {
    let mut connection = connect(target, Purpose::Replication).await?;
    // a fenced leader says so too
    let read_only = connection.parameter("in_hot_standby") == Some("on");
    let results = connection.query("IDENTIFY_SYSTEM").await?;
    let row = results.first();
    let field = |name: &str| row.and_then(|row| row.text(name)).unwrap_or_default();
    let unreadable = || Failure::new("its answer to IDENTIFY_SYSTEM cannot be read");
    let mut answer = Answer {
        system_id: field("systemid").parse().map_err(|_| unreadable())?,
        timeline: TimelineId(field("timeline").parse().map_err(|_| unreadable())?),
        flushed: field("xlogpos").parse().map_err(|_| unreadable())?,
        role: if read_only { Role::Follower } else { Role::Leader },
    };
    if read_only {
        match pledge(&mut connection, answer.timeline, PLEDGE_TIME).await {
            Ok(flushed) => answer.flushed = flushed,
            Err(failure) => {
                let mut session = connect(target, Purpose::Sql).await?;
                answer.role = Role::Fenced(fence_of(&mut session).await?.ok_or(failure)?);
                session.close().await;
            }
        }
    }
    connection.close().await;
    Ok(answer)
}

/// What the server was fenced for, if it was.
pub(crate) async fn fence_of(session: &mut Connection) -> Result<Option<Fence>, Failure> {
    let asked = "SELECT fenced_timeline, fenced_by FROM walship_stat_failover WHERE role = 'fenced'";
    let results = session.query(asked).await?;
    let Some(row) = results.first().filter(|result| !result.rows.is_empty()) else { return Ok(None) };
    let field = |name: &str| row.text(name).unwrap_or_default();
    let timeline = field("fenced_timeline").parse().map(TimelineId);
    let timeline = timeline.map_err(|_| Failure::new("its row of walship_stat_failover cannot be read"))?;
    Ok(Some(Fence { timeline, node: field("fenced_by").to_owned() }))
}

/// Makes a follower leave its leader: what that acknowledges from now on, it acknowledges
/// without this one, and the position that comes back is all that this one ever confirmed.
async fn pledge(connection: &mut Connection, own: TimelineId, time: Duration) -> Result<Lsn, Failure> {
    let for_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let command = Command::Pledge { timeline: TimelineId(own.0.saturating_add(1)), for_ms };
    let results = connection.query(&command.to_string()).await?;
    let flushed = results.first().and_then(|row| row.text("flushed_lsn")).and_then(|text| text.parse().ok());
    flushed.ok_or_else(|| Failure::new("its answer to WALSHIP_PLEDGE cannot be read"))
}

/// Lets the followers go back to their leader: nobody was promoted.
pub(crate) async fn release(candidates: &[Candidate]) {
    for candidate in candidates {
        if let Some(answer) = candidate.answer.as_ref().ok().filter(|answer| answer.role == Role::Follower)
            && let Ok(mut connection) = connect(&candidate.target, Purpose::Replication).await
        {
            // it ends by itself after a while
            let _ = pledge(&mut connection, answer.timeline, Duration::ZERO).await;
            connection.close().await;
        }
    }
}

/// The one to promote: it has most of the newest timeline's log. Refuses where that is not
/// certain, unless `force` says that those who do not answer do not count.
pub(crate) fn choose(candidates: &[Candidate], force: bool) -> Result<&Candidate, Failure> {
    let answered = || candidates.iter().filter_map(|c| c.answer.as_ref().ok().map(|answer| (c, answer)));
    if let Some((leader, answer)) = answered().find(|(_, answer)| answer.role == Role::Leader) {
        let (host, timeline) = (leader.host(), answer.timeline);
        return Err(Failure::new(format!(
            "the server at \"{host}\" is the leader of timeline {timeline} already"
        ))
        .hint("to change roles while it works: walctl switchover"));
    }
    let followers = || answered().filter(|(_, answer)| answer.role == Role::Follower);
    let best = followers().max_by_key(|(_, answer)| (answer.timeline, answer.flushed));
    let Some((best, answer)) = best else {
        let why: Vec<String> = candidates.iter().map(reason).collect();
        return Err(Failure::new(format!("no follower can be reached: {}", why.join("; "))));
    };
    if let Some((other, found)) = answered().find(|(_, other)| other.system_id != answer.system_id) {
        return Err(Failure::new(format!(
            "the servers are of different clusters: the system identifier of \"{}\" is {}, that of \"{}\" is {}",
            best.host(),
            answer.system_id,
            other.host(),
            found.system_id
        )));
    }
    let silent: Vec<String> = candidates.iter().filter(|c| c.answer.is_err()).map(reason).collect();
    if !silent.is_empty() && !force {
        return Err(Failure::new(format!(
            "not every follower can be reached, and one of these may have more of the log than \"{}\", which has it up to {} of timeline {}: {}",
            best.host(), answer.flushed, answer.timeline, silent.join("; ")
        ))
        .hint("bring it back and try again; or give --force, and lose what only it has"));
    }
    let newer = answered().find_map(|(candidate, found)| match &found.role {
        Role::Fenced(fence) if fence.timeline > answer.timeline => Some((candidate, fence)),
        _ => None,
    });
    match newer {
        Some((candidate, fence)) if !force => Err(Failure::new(format!(
            "the server at \"{}\" was fenced, since {fence}, which none of these followers is on",
            candidate.host()
        ))
        .hint("ask that node too; or give --force, and lose what only it has")),
        _ => Ok(best),
    }
}

fn reason(candidate: &Candidate) -> String {
    let why = match &candidate.answer {
        Ok(answer) => format!("it is {}", answer.role.name()),
        Err(failure) => failure.message().to_owned(),
    };
    format!("\"{}\": {why}", candidate.host())
}

/// What each says, for people.
pub(crate) fn table(candidates: &[Candidate]) -> Table {
    let mut table = Table::new(&["server", "role", "timeline", "flushed_lsn", "error"]);
    for candidate in candidates {
        table.row(match &candidate.answer {
            Ok(answer) => [
                candidate.host(),
                answer.role.name().to_owned(),
                answer.timeline.to_string(),
                answer.flushed.to_string(),
                String::new(),
            ],
            Err(failure) => {
                [candidate.host(), String::new(), String::new(), String::new(), failure.message().to_owned()]
            }
        });
    }
    table
}

/// The same for programs.
pub(crate) fn shown(candidates: &[Candidate]) -> Value {
    let one = |candidate: &Candidate| match &candidate.answer {
        Ok(answer) => json!({
            "server": candidate.host(),
            "role": answer.role.name(),
            "system_identifier": answer.system_id,
            "timeline": answer.timeline.0,
            "flushed_lsn": answer.flushed,
        }),
        Err(failure) => json!({ "server": candidate.host(), "error": failure.message() }),
    };
    Value::Array(candidates.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(host: &str, answer: Option<(u32, u64, bool)>) -> Candidate {
        let answer = answer.map(|(timeline, flushed, follows)| Answer {
            system_id: SystemId(7),
            timeline: TimelineId(timeline),
            flushed: Lsn(flushed),
            role: if follows { Role::Follower } else { Role::Leader },
        });
        Candidate { target: server(host).unwrap(), answer: answer.ok_or_else(|| Failure::new("refused")) }
    }

    fn chosen(candidates: &[Candidate], force: bool) -> Result<String, String> {
        choose(candidates, force).map(Candidate::host).map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn the_newest_timeline_goes_before_the_longest_log() {
        let all = [
            candidate("a:1", Some((1, 900, true))),
            candidate("b:2", Some((2, 500, true))),
            candidate("c:3", Some((2, 400, true))),
        ];
        assert_eq!(chosen(&all, false).unwrap(), "b:2");
    }

    #[test]
    fn nobody_is_promoted_beside_a_leader_or_on_a_guess() {
        let follower = || candidate("a:1", Some((1, 900, true)));
        let with_leader = [follower(), candidate("b:2", Some((1, 100, false)))];
        assert!(chosen(&with_leader, true).unwrap_err().contains("is the leader of timeline 1 already"));
        let with_silent = [follower(), candidate("b:2", None)];
        let refused = chosen(&with_silent, false).unwrap_err();
        assert!(refused.contains("\"b:2\": refused"), "{refused}");
        assert_eq!(chosen(&with_silent, true).unwrap(), "a:1");
        assert!(chosen(&[candidate("b:2", None)], true).unwrap_err().contains("no follower can be reached"));
    }

    #[test]
    fn a_fenced_leader_is_no_candidate_and_knows_of_a_newer_timeline() {
        let fenced = |timeline| {
            let mut old = candidate("old:1", Some((1, 950, true)));
            if let Ok(answer) = &mut old.answer {
                answer.role =
                    Role::Fenced(Fence { timeline: TimelineId(timeline), node: "\"n\"".to_owned() });
            }
            old
        };
        let all = |timeline| [fenced(timeline), candidate("b:2", Some((2, 500, true)))];
        assert_eq!(chosen(&all(2), false).unwrap(), "b:2");
        let refused = chosen(&all(3), false).unwrap_err();
        assert!(refused.contains("node \"n\" leads timeline 3, which none of these followers"), "{refused}");
        assert_eq!(chosen(&all(3), true).unwrap(), "b:2");
        let refused = chosen(&[fenced(3)], true).unwrap_err();
        assert!(refused.contains("\"old:1\": it is fenced"), "{refused}");
    }
}
