//! Writes fixtures/wal: `cargo run -p walship-wal --example make_fixtures`.
//!
//! Each case is a folder with `case.txt` (what is wrong, and how to open it) and one
//! `SEGMENT.hex` per segment file. Running it again changes nothing.

mod cases;

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wal");
    for case in cases::all() {
        let dir = root.join(case.name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        for (name, content) in case.files() {
            std::fs::write(dir.join(name), content)?;
        }
    }
    Ok(())
}
