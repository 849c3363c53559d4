//! Prints docs/settings.md.

fn main() {
    print!("{}", walship_settings::reference_markdown());
}
