use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// From the first line on; to the end of a line, and of the page.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";
/// For a terminal that does not know its size.
const SIZE_UNKNOWN: (usize, usize) = (80, 24);

/// A terminal that shows one page at a time; it is as it was when this is dropped.
pub(super) struct Terminal {
    /// How its input was set, if that is a terminal too.
    before: Option<Termios>,
    keys: mpsc::UnboundedReceiver<u8>,
}

impl Terminal {
    /// Takes the terminal on standard output; `None` if that is none.
    pub(super) fn take() -> Option<Terminal> {
        if !io::stdout().is_terminal() {
            return None;
        }
        let (send, keys) = mpsc::unbounded_channel();
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut keyed = before.clone();
            // a key counts at once and is not shown; Ctrl-C stays a signal
            keyed.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &keyed);
            // blocks for ever in a read; the process does not wait for it
            std::thread::spawn(move || {
                let mut key = [0];
                while matches!(io::stdin().read(&mut key), Ok(1)) && send.send(key[0]).is_ok() {}
            });
        }
        print!("{ENTER}");
        Some(Terminal { before, keys })
    }

    /// Columns and lines.
    pub(super) fn size() -> (usize, usize) {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        size.map_or(SIZE_UNKNOWN, |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
    }

    /// Shows a page in place of the one before.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let mut out = String::from(HOME);
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                out.push_str("\r\n");
            }
            out.push_str(line);
            out.push_str(CLEAR_LINE);
        }
        out.push_str(CLEAR_REST);
        let mut stdout = io::stdout().lock();
        stdout.write_all(out.as_bytes())?;
        stdout.flush()
    }

    /// The next key; never returns if there is no keyboard.
    pub(super) async fn key(&mut self) -> u8 {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        print!("{LEAVE}");
        let _ = io::stdout().flush();
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
