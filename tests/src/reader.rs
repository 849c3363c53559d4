use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The stock `sqlite3` program, connected to one file for as long as this lives.
pub struct Reader {
    program: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the program prints when it has answered.
const END: &str = "--end of answer--";

impl Reader {
    /// Starts the program on a database file.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn open(database: &Path) -> Reader {
        let mut program = Command::new("sqlite3")
            .args(["-batch", "-init", "/dev/null", "-cmd", ".timeout 10000"])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("start sqlite3: run \"make install-deps\"");
        let questions = program.stdin.take().expect("its input is a pipe");
        let answers = BufReader::new(program.stdout.take().expect("its output is a pipe"));
        Reader { program, questions, answers }
    }

    /// Sends statements and returns what they printed, without the last line break.
    ///
    /// # Panics
    /// When the program has ended.
    pub fn ask(&mut self, statements: &str) -> String {
        writeln!(self.questions, "{statements}\n.print {END}").expect("sqlite3 reads its input");
        let mut answer = Vec::new();
        loop {
            let mut line = String::new();
            let bytes = self.answers.read_line(&mut line).expect("sqlite3 writes text");
            assert!(bytes > 0, "sqlite3 ended before it answered {statements}");
            match line.trim_end_matches('\n') {
                END => return answer.join("\n"),
                text => answer.push(text.to_owned()),
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.program.id()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // killed or gone already; either way it is reaped
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
