use tokio::io::{AsyncRead, AsyncWrite};
use walship_protocol::wire::{
    CopyDirection, ErrorFields, FrontendMessage, put_command_complete, put_copy_data, put_copy_done,
    put_copy_response,
};
use walship_protocol::{PageReply, PageRequest};
use walship_types::Lsn;

use super::channel::ConnectionError;
use super::host::{PageReader, ServerPhase};
use super::serve::{Serving, blocking, phase_reached, tell_and_close};

/// `WALSHIP_READ_PAGES`: answers requests for pages until the client ends the stream.
/// Meanwhile the log from `keep_from` on stays.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    keep_from: Lsn,
) -> Result<(), ConnectionError> {
    let host = serving.host.clone();
    let opened = blocking(move || host.page_reader(keep_from)).await.and_then(|opened| opened);
    let mut reader = match opened {
        Ok(reader) => Some(reader),
        Err(error) => {
            serving.outbound.refuse(&error);
            return Ok(());
        }
    };
    put_copy_response(&mut serving.outbound.buffer, CopyDirection::Both, 0);
    serving.outbound.flush().await?;
    let mut phase = serving.host.phase();
    loop {
        let frame = tokio::select! {
            frame = serving.inbound.next() => frame?,
            () = phase_reached(&mut phase, ServerPhase::Draining) => {
                let text = "terminating connection due to administrator command";
                return tell_and_close(&mut serving.outbound, ErrorFields::error("57P01", text).fatal()).await;
            }
        };
        let request = match FrontendMessage::of(&frame)? {
            FrontendMessage::CopyData(_) => PageRequest::decode(frame.body)
                .map_err(|error| ConnectionError::Violation(error.to_string()))?,
            FrontendMessage::CopyDone => break,
            FrontendMessage::CopyFail(reason) => {
                let error = ErrorFields::error("57014", format!("given up by the client: {reason}"));
                serving.outbound.refuse(&error);
                return Ok(());
            }
            FrontendMessage::Flush | FrontendMessage::Sync => continue,
            FrontendMessage::Terminate => return Err(ConnectionError::Closed),
            _ => {
                let text =
                    format!("unexpected message \"{}\" in the stream of pages", frame.tag.escape_ascii());
                return Err(ConnectionError::Violation(text));
            }
        };
        let Some(mut taken) = reader.take() else { break };
        let answered = blocking(move || {
            let replies = answer(taken.as_mut(), &request);
            (taken, replies)
        });
        let (taken, replies) = match answered.await {
            Ok(answered) => answered,
            Err(error) => {
                serving.outbound.refuse(&error);
                return Ok(());
            }
        };
        reader = Some(taken);
        match replies {
            Ok(replies) => {
                for reply in replies {
                    put_copy_data(&mut serving.outbound.buffer, &reply.encode());
                    serving.outbound.flush().await?;
                }
            }
            Err(error) => {
                serving.outbound.refuse(&error);
                return Ok(());
            }
        }
    }
    put_copy_done(&mut serving.outbound.buffer);
    put_command_complete(&mut serving.outbound.buffer, "WALSHIP_READ_PAGES");
    serving.outbound.ready();
    Ok(())
}

fn answer(reader: &mut dyn PageReader, request: &PageRequest) -> Result<Vec<PageReply>, ErrorFields> {
    match request {
        PageRequest::Read(runs) => runs
            .iter()
            .map(|run| {
                let (database, first) = (run.database, run.first);
                Ok(match reader.read(database, first, run.count)? {
                    Some(content) => PageReply::Pages { database, first, content },
                    None => PageReply::Missing { database },
                })
            })
            .collect(),
        PageRequest::End => {
            let (lsn, timeline) = reader.end()?;
            Ok(vec![PageReply::End { lsn, timeline }])
        }
    }
}
