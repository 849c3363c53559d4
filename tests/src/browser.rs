use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::lab::Lab;
use crate::process::Process;
use crate::wait::wait_until;

/// Where a browser's debugging pipe is in the browser: it reads from the first and writes to the second.
const PIPE: [i32; 2] = [3, 4];

/// A headless Chromium with one page, driven over its debugging protocol.
pub struct Browser {
    to: File,
    from: BufReader<File>,
    number: u64,
    session: Option<String>,
    /// Exceptions, complaints on the console, and requests to anywhere.
    complaints: Vec<String>,
    requests: Vec<String>,
    _process: Process,
}

impl Browser {
    /// Opens a page of that size, in CSS pixels.
    ///
    /// # Panics
    /// When Chromium is not installed, or does not start.
    pub fn open(lab: &Lab, url: &str, width: u32, height: u32) -> Browser {
        let (browser_reads, to) = pipe();
        let (from, browser_writes) = pipe();
        let profile = lab.path().join("chromium");
        std::fs::create_dir_all(&profile).expect("make the browser's directory");
        let mut command = Command::new(chromium());
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-extensions"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .env("HOME", lab.path());
        // SAFETY: between fork and exec only fcntl and dup2 are called, which are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                // first out of the way of the numbers that they shall get
                let reads = libc::fcntl(browser_reads.as_raw_fd(), libc::F_DUPFD, 10);
                let writes = libc::fcntl(browser_writes.as_raw_fd(), libc::F_DUPFD, 10);
                if reads < 0
                    || writes < 0
                    || libc::dup2(reads, PIPE[0]) < 0
                    || libc::dup2(writes, PIPE[1]) < 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                libc::close(reads);
                libc::close(writes);
                Ok(())
            });
        }
        let process = Process::spawn("chromium", command, &lab.path().join("chromium.log"));
        let (to, from) = (File::from(to), BufReader::new(File::from(from)));
        let mut browser = Browser {
            to,
            from,
            number: 0,
            session: None,
            complaints: Vec::new(),
            requests: Vec::new(),
            _process: process,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.resize(width, height);
        browser.call("Page.navigate", json!({ "url": url }));
        wait_until("the page is loaded", || {
            browser.evaluate("location.href !== 'about:blank' && document.readyState === 'complete'") == true
        });
        browser
    }

    /// Changes the size of the window.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Light or dark, as a person's preference.
    pub fn prefer_colors(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The value of an expression in the page.
    ///
    /// # Panics
    /// When it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The same as text.
    pub fn text(&mut self, expression: &str) -> String {
        self.evaluate(expression).as_str().unwrap_or_default().to_owned()
    }

    /// A picture of the whole page, kept where `WALSHIP_TEST_SCREENSHOTS` names a directory.
    ///
    /// # Panics
    /// When the picture is empty or cannot be written.
    pub fn screenshot(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let data = shot["data"].as_str().expect("a picture");
        let png = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
        if let Some(directory) = std::env::var_os("WALSHIP_TEST_SCREENSHOTS") {
            std::fs::write(PathBuf::from(directory).join(name), png).expect("write the picture");
        }
    }

    /// What the page threw or complained of so far.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// What the page asked for so far.
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut request = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{request}\0").as_bytes()).expect("write to the browser");
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).expect("read from the browser");
            assert_eq!(bytes.pop(), Some(0), "the browser has ended while {method} was asked of it");
            let message: Value = serde_json::from_slice(&bytes).expect("the browser speaks JSON");
            if message["id"] == self.number {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(parameters.to_string()),
            Some("Log.entryAdded") => self.complaints.push(parameters["entry"].to_string()),
            Some("Network.requestWillBeSent") => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }
}

fn chromium() -> PathBuf {
    let names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&on_path)
        .flat_map(|directory| names.map(|name| directory.join(name)))
        .find(|path| path.exists());
    found.unwrap_or_else(|| panic!("Chromium is not installed: run \"make install-deps\""))
}

/// Both ends of a pipe, reading first; closed in programs that are started.
fn pipe() -> (OwnedFd, OwnedFd) {
    let (reads, writes) = std::io::pipe().expect("make a pipe");
    (reads.into(), writes.into())
}
