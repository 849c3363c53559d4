//! `BASE_BACKUP`: a thread reads the files and encodes what is sent, a task sends it.

mod archive;
mod archiving;
mod log_files;
mod pace;
mod pieces;

use std::sync::Arc;

use pieces::{PIECES_AHEAD, Pieces};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use walship_node::{BackupProgress, SenderState};
use walship_protocol::wire::{ErrorFields, FrontendMessage, put_command_complete};
use walship_protocol::{BaseBackupOptions, CompressionChoice};

use super::channel::ConnectionError;
use super::host::{SenderReport, ServerPhase};
use super::serve::{Serving, phase_reached, tell_and_close};

/// Serves the command, to its end or the client's.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    options: BaseBackupOptions,
) -> Result<(), ConnectionError> {
    if let CompressionChoice::Server { method, .. } = &options.compression {
        let text = format!("compression of a base backup by the server is not supported: {method}");
        let hint = format!("Let the client compress: pg_basebackup --compress=client-{method}.");
        serving.outbound.refuse(&ErrorFields::error("0A000", text).with_hint(hint));
        return Ok(());
    }
    let progress = Arc::new(BackupProgress::default());
    serving.row.update(SenderReport { state: SenderState::Backup, ..SenderReport::default() });
    serving.row.backing_up(Some(Arc::clone(&progress)));
    let sent = send(serving, options, progress).await;
    serving.row.backing_up(None);
    serving.row.update(SenderReport::default());
    sent
}

async fn send<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    options: BaseBackupOptions,
    progress: Arc<BackupProgress>,
) -> Result<(), ConnectionError> {
    let (pieces, mut received) = mpsc::channel(PIECES_AHEAD);
    let host = Arc::clone(&serving.host);
    let counted = Arc::clone(&progress);
    let thread = tokio::task::spawn_blocking(move || {
        archive::back_up(host.as_ref(), &options, &mut Pieces::new(pieces), &counted)
    });
    let mut phase = serving.host.phase();
    loop {
        // dropping `received` on the way out makes the thread stop
        let piece = tokio::select! {
            piece = received.recv() => piece,
            gone = client_gone(serving) => return Err(gone),
            () = phase_reached(&mut phase, ServerPhase::Draining) => {
                let text = "terminating connection due to administrator command";
                return tell_and_close(&mut serving.outbound, ErrorFields::error("57P01", text).fatal()).await;
            }
        };
        let Some(piece) = piece else { break };
        let bytes = piece.body.len() as u64;
        serving.outbound.buffer.extend_from_slice(&piece.head);
        serving.outbound.flush_with(piece.body).await?;
        progress.add(bytes);
    }
    match thread.await {
        Ok(Ok(())) => {
            put_command_complete(&mut serving.outbound.buffer, "BASE_BACKUP");
            serving.outbound.ready();
        }
        Ok(Err(error)) => {
            tracing::warn!(client = %serving.session.application_name, "base backup failed: {}", error.message);
            serving.outbound.refuse(&error);
        }
        Err(panic) => serving.outbound.refuse(&ErrorFields::error("XX000", panic.to_string())),
    }
    Ok(())
}

/// Waits until the client is gone: during a backup it has nothing to say.
async fn client_gone<S: AsyncRead + AsyncWrite + Send>(serving: &mut Serving<S>) -> ConnectionError {
    loop {
        let frame = match serving.inbound.next().await {
            Ok(frame) => frame,
            Err(error) => return error,
        };
        match FrontendMessage::of(&frame) {
            Ok(FrontendMessage::Terminate) => return ConnectionError::Closed,
            Ok(FrontendMessage::CopyData(_) | FrontendMessage::Flush | FrontendMessage::Sync) => {}
            Ok(other) => {
                let text = format!("unexpected message during a base backup: {other:?}");
                return ConnectionError::Violation(text);
            }
            Err(error) => return error.into(),
        }
    }
}
