use std::fmt::Write as _;

use crate::{Category, Definition, definitions};

/// docs/settings.md, from the registry.
pub fn reference_markdown() -> String {
    let mut text = HEADER.to_owned();
    let mut categories: Vec<Category> = Vec::new();
    for definition in definitions() {
        if !categories.iter().any(|category| category.0 == definition.category) {
            categories.push(Category(definition.category));
        }
    }
    categories.sort_by_key(|category| category.0);
    for category in categories {
        let _ = write!(
            text,
            "\n## {}\n\n| setting | default | may be | changes | meaning |\n|---|---|---|---|---|\n",
            category.0
        );
        for definition in definitions().iter().filter(|definition| definition.category == category.0) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} |",
                definition.name,
                shown_default(definition),
                values(definition),
                when(definition),
                definition.description
            );
        }
    }
    text
}

const HEADER: &str = "\
# Settings

Generated from the registry in crates/settings; a test holds this page against it.

Settings stand in `postgresql.conf` and `postgresql.auto.conf` (which `ALTER SYSTEM` writes), are overridden on the \
command line with `-c name=value`, and are shown by `SHOW` and `pg_settings`. The later of these places wins. An \
unknown name or a value that is not allowed is an error at start that names file, line, value and what is allowed.

When a setting changes: *never* (it tells a fact), at *restart*, at *reload* (`pg_reload_conf()`, SIGHUP), in a \
*session* (`SET`, start-up parameters), in a session of a *superuser*. *Files only* settings run commands: SQL cannot \
set them.
";

fn shown_default(definition: &Definition) -> String {
    match definition.show(&definition.default_value()) {
        text if text.is_empty() => "empty".to_owned(),
        text => format!("`{text}`"),
    }
}

fn values(definition: &Definition) -> String {
    use crate::Kind;
    match definition.kind {
        Kind::Bool => "on, off".to_owned(),
        Kind::Int { unit, min, max } => match unit.name() {
            Some(unit) => format!("{min} to {max} ({unit})"),
            None => format!("{min} to {max}"),
        },
        Kind::Mode => "0000 to 0777".to_owned(),
        Kind::Real { max: f64::MAX, min } => format!("a number from {min}"),
        Kind::Real { min, max } => format!("a number from {min} to {max}"),
        Kind::Enum(words) => {
            let quoted = words.iter().map(|word| if word.is_empty() { "empty" } else { word });
            quoted.collect::<Vec<_>>().join(", ")
        }
        Kind::Text(_) => "text".to_owned(),
    }
}

fn when(definition: &Definition) -> &'static str {
    use crate::Context;
    match (definition.context, definition.file_only) {
        (_, true) => "reload, files only",
        (Context::Internal, _) => "never",
        (Context::Postmaster, _) => "restart",
        (Context::Sighup, _) => "reload",
        (Context::Backend, _) => "connection start",
        (Context::Superuser, _) => "session (superuser), reload",
        (Context::User, _) => "session, reload",
    }
}
