use walship_settings::{Definition, Kind, SettingRow, Source};

use super::Column;
use crate::catalog::cell::{Cell, array_text};
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{BOOL, INT4, TEXT, TEXT_ARRAY};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_settings", columns: SETTINGS, rows: Rows::Live(settings) },
    Table { name: "pg_file_settings", columns: FILE_SETTINGS, rows: Rows::Live(file_settings) },
];

static SETTINGS: &[Column] = &[
    ("name", &TEXT),
    ("setting", &TEXT),
    ("unit", &TEXT),
    ("category", &TEXT),
    ("short_desc", &TEXT),
    ("extra_desc", &TEXT),
    ("context", &TEXT),
    ("vartype", &TEXT),
    ("source", &TEXT),
    ("min_val", &TEXT),
    ("max_val", &TEXT),
    ("enumvals", &TEXT_ARRAY),
    ("boot_val", &TEXT),
    ("reset_val", &TEXT),
    ("sourcefile", &TEXT),
    ("sourceline", &INT4),
    ("pending_restart", &BOOL),
];

fn settings(scope: &Scope) -> Vec<Row> {
    let rows = scope.session.settings.lock().rows();
    rows.iter().map(setting).collect()
}

fn setting(row: &SettingRow) -> Row {
    let Definition { name, kind, context, category, description, .. } = *row.definition;
    let (least, most) = match kind {
        Kind::Int { min, max, .. } => (Cell::Text(min.to_string()), Cell::Text(max.to_string())),
        Kind::Real { min, max } => (Cell::Text(min.to_string()), Cell::Text(max.to_string())),
        Kind::Mode => ("0".into(), "511".into()),
        _ => (Cell::Null, Cell::Null),
    };
    let words = match kind {
        Kind::Enum(words) => Cell::Text(array_text(words.iter().copied())),
        _ => Cell::Null,
    };
    let (file, line) = place(&row.source);
    vec![
        name.into(),
        row.setting.as_str().into(),
        row.definition.unit_of().name().into(),
        category.into(),
        description.into(),
        Cell::Null,
        context.name().into(),
        kind.name().into(),
        row.source.name().into(),
        least,
        most,
        words,
        row.definition.setting(&row.definition.default_value()).into(),
        row.reset_value.as_str().into(),
        file,
        line,
        row.pending_restart.into(),
    ]
}

fn place(source: &Source) -> (Cell, Cell) {
    match source {
        Source::File { path, line } => (path.as_path().into(), (*line).into()),
        _ => (Cell::Null, Cell::Null),
    }
}

static FILE_SETTINGS: &[Column] = &[
    ("sourcefile", &TEXT),
    ("sourceline", &INT4),
    ("seqno", &INT4),
    ("name", &TEXT),
    ("setting", &TEXT),
    ("applied", &BOOL),
    ("error", &TEXT),
];

/// What the files gave the settings that are in force.
fn file_settings(scope: &Scope) -> Vec<Row> {
    let cluster = scope.session.settings.lock().cluster();
    let from_files = cluster.rows().into_iter().filter(|row| matches!(row.source, Source::File { .. }));
    let row = |(number, row): (usize, SettingRow)| {
        let (file, line) = place(&row.source);
        let number = i64::try_from(number + 1).unwrap_or(i64::MAX);
        vec![
            file,
            line,
            number.into(),
            row.definition.name.into(),
            row.setting.into(),
            true.into(),
            Cell::Null,
        ]
    };
    from_files.enumerate().map(row).collect()
}
