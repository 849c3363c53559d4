use std::collections::VecDeque;

use walship_client::{Connection, Event, Purpose};
use walship_engine::redo::RedoOptions;
use walship_engine::rewind::{DirtyDatabase, DirtyPages, PagePutter};
use walship_protocol::wire::CopyDirection;
use walship_protocol::{Command, PageReply, PageRequest, PageRun, REQUEST_PAGES_MAX, Target};
use walship_types::{Lsn, PageNo, TimelineId};
use walship_wal::payload::DatabaseState;

use super::RewindObserver;
use super::fork::source_refuses;
use super::kill_point;
use crate::run::Failure;

/// Bytes that one request asks for, at most: 4 MiB are on their way then.
const REQUEST_BYTES: usize = 512 << 10;
/// Requests that are sent ahead of their answers.
const REQUESTS_AHEAD: usize = 8;

/// The stream that pages come in. As long as it is open the source keeps its log from the
/// fork on.
pub(super) struct PageStream {
    connection: Connection,
    pub(super) pages: u64,
    pub(super) bytes: u64,
    /// About how many bytes will come, for whoever watches.
    total: u64,
}

impl PageStream {
    /// Opens it; refused if the source's log does not reach back to the fork.
    pub(super) async fn open(target: &Target, fork: Lsn) -> Result<PageStream, Failure> {
        let connected = Connection::connect(target, Purpose::Replication, "walship rewind").await;
        let mut connection = connected.map_err(source_refuses)?;
        let command = Command::ReadPages { keep_from: fork };
        connection.start(&command.to_string()).await.map_err(source_refuses)?;
        match connection.next().await.map_err(source_refuses)? {
            Event::Copy(CopyDirection::Both) => {}
            other => return Err(unexpected(&other)),
        }
        Ok(PageStream { connection, pages: 0, bytes: 0, total: 0 })
    }

    /// Fetches what `dirty` says of the databases `states`, as they were at the fork, and
    /// puts it into their files.
    pub(super) async fn fetch(
        &mut self,
        options: &RedoOptions,
        states: &[DatabaseState],
        dirty: &DirtyPages,
        observer: &mut dyn RewindObserver,
    ) -> Result<(), Failure> {
        let whole = DirtyDatabase::whole();
        let mut wanted = Vec::new();
        for state in states.iter().filter(|state| state.pages > 0) {
            let there = options.database_path(&state.name).exists();
            let known = dirty.database(state.id).filter(|_| there);
            match known {
                Some(database) => wanted.push((state, database)),
                None if !there => wanted.push((state, &whole)),
                None => {}
            }
        }
        let bytes = |(state, dirty): &(&DatabaseState, &DirtyDatabase)| {
            let pages: u64 = dirty.runs(state.pages).map(|(_, count)| u64::from(count)).sum();
            pages * state.page_size.bytes() as u64
        };
        self.total = wanted.iter().map(bytes).sum();
        for (state, database) in wanted {
            self.fetch_database(options, state, database, observer).await?;
        }
        Ok(())
    }

    async fn fetch_database(
        &mut self,
        options: &RedoOptions,
        state: &DatabaseState,
        dirty: &DirtyDatabase,
        observer: &mut dyn RewindObserver,
    ) -> Result<(), Failure> {
        let putter = PagePutter::begin(options, &state.name, state.page_size, state.pages);
        let mut putter = putter.map_err(Failure::new)?;
        let mut requests = requests(state, dirty);
        // each with whether it ends its request
        let mut asked: VecDeque<(PageRun, bool)> = VecDeque::new();
        let (mut ahead, mut missing, mut done) = (0, false, false);
        loop {
            while ahead < REQUESTS_AHEAD && !done && !missing {
                let Some(runs) = requests.next() else {
                    done = true;
                    break;
                };
                let request = PageRequest::Read(runs.clone()).encode();
                self.connection.send_data(&request).await.map_err(source_refuses)?;
                let last = runs.len() - 1;
                asked.extend(runs.into_iter().enumerate().map(|(at, run)| (run, at == last)));
                ahead += 1;
            }
            let Some((run, ends)) = asked.pop_front() else { break };
            match self.reply().await? {
                PageReply::Pages { database, first, content }
                    if (database, first) == (run.database, run.first) =>
                {
                    putter.put(first, &content).map_err(Failure::new)?;
                    self.pages += content.len() as u64 / state.page_size.bytes() as u64;
                    self.bytes += content.len() as u64;
                    observer.fetched(self.bytes, self.total);
                    kill_point("fetching");
                }
                // dropped on the source since: so will it be here
                PageReply::Missing { database } if database == run.database => missing = true,
                other => return Err(unexpected(&other)),
            }
            ahead -= usize::from(ends);
        }
        if missing { Ok(()) } else { putter.finish().map_err(Failure::new) }
    }

    /// The position from which everything that was fetched is in the source's log.
    pub(super) async fn end(&mut self) -> Result<(Lsn, TimelineId), Failure> {
        self.connection.send_data(&PageRequest::End.encode()).await.map_err(source_refuses)?;
        match self.reply().await? {
            PageReply::End { lsn, timeline } => Ok((lsn, timeline)),
            other => Err(unexpected(&other)),
        }
    }

    async fn reply(&mut self) -> Result<PageReply, Failure> {
        loop {
            match self.connection.next().await.map_err(source_refuses)? {
                Event::Data(data) => return PageReply::decode(data).map_err(Failure::new),
                Event::Notice(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Ends the stream: the source need not keep log for it any more.
    pub(super) async fn close(mut self) {
        // whatever comes of it, all that was wanted is here
        let _ = self.connection.send_copy_done().await;
        self.connection.close().await;
    }
}

/// The dirty pages of a database in requests of bounded size.
fn requests<'a>(
    state: &'a DatabaseState,
    dirty: &'a DirtyDatabase,
) -> impl Iterator<Item = Vec<PageRun>> + 'a {
    let per_request = (REQUEST_BYTES / state.page_size.bytes()).max(1);
    let per_request = u32::try_from(per_request).unwrap_or(1).min(REQUEST_PAGES_MAX);
    let mut runs = dirty.runs(state.pages);
    let mut rest: Option<(PageNo, u32)> = None;
    std::iter::from_fn(move || {
        let (mut request, mut room) = (Vec::new(), per_request);
        while room > 0 {
            let Some((first, count)) = rest.take().or_else(|| runs.next()) else { break };
            let now = count.min(room);
            request.push(PageRun { database: state.id, first, count: now });
            room -= now;
            rest = (count > now).then(|| (PageNo(first.0 + now), count - now));
        }
        (!request.is_empty()).then_some(request)
    })
}

fn unexpected(found: &impl std::fmt::Debug) -> Failure {
    let found: String = format!("{found:?}").chars().take(100).collect();
    Failure::new(format!("unexpected answer of the source: {found}"))
}
