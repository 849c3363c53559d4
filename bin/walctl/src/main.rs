//! See the library of this name.

use std::process::ExitCode;

fn main() -> ExitCode {
    walctl::main()
}
