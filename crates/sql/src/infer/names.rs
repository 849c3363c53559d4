//! What result columns are called in questions about the catalog: tools look for PostgreSQL's names.

use sqlite3_parser::ast::{As, Cmd, Expr, OneSelect, ResultColumn, Select, Stmt};

use super::scope::unquoted;

/// PostgreSQL's name for an expression that has none of its own.
const NO_NAME: &str = "?column?";

/// Functions that stand for casts, with the type that PostgreSQL would name the result after.
const CASTS: [(&str, &str); 10] = [
    ("pg_int2", "int2"),
    ("pg_int4", "int4"),
    ("pg_int8", "int8"),
    ("pg_lsn", "pg_lsn"),
    ("pg_interval", "interval"),
    ("pg_timestamptz", "timestamptz"),
    ("pg_date", "date"),
    ("pg_bool_text", "text"),
    ("pg_regclass", "regclass"),
    ("pg_regtype", "regtype"),
];
/// Functions that stand for operators.
const OPERATORS: [&str; 9] = [
    "pg_lsn_mi",
    "pg_lsn_mii",
    "pg_lsn_sum",
    "pg_time_difference",
    "pg_time_before",
    "pg_time_sum",
    "pg_interval_difference",
    "pg_interval_sum",
    "regexp",
];

/// Names of the `count` result columns of a statement; `None` for those that keep SQLite's.
pub(super) fn result_names(command: &Cmd<'_>, count: usize) -> Vec<Option<String>> {
    let mut names = match command {
        Cmd::Stmt(Stmt::Select(select)) => of_select(select, count),
        _ => Vec::new(),
    };
    names.resize(count, None);
    names
}

fn of_select(select: &Select<'_>, count: usize) -> Vec<Option<String>> {
    let OneSelect::Select { columns, .. } = &select.body.select else { return Vec::new() };
    let is_star = |column: &&ResultColumn<'_>| !matches!(column, ResultColumn::Expr(..));
    let stars = columns.iter().filter(is_star).count();
    // one star stands for all that the others do not
    let Some(starred) = (count + stars).checked_sub(columns.len()).filter(|_| stars <= 1) else {
        return Vec::new();
    };
    let mut names = Vec::with_capacity(count);
    for column in columns.iter() {
        match column {
            ResultColumn::Expr(expression, None) => names.push(own_name(expression)),
            ResultColumn::Expr(_, Some(_)) => names.push(None),
            _ => names.extend(std::iter::repeat_n(None, starred)),
        }
    }
    names
}

/// `None` for a column, whose name SQLite knows.
fn own_name(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Id(_) | Expr::Name(_) | Expr::Qualified(..) | Expr::DoublyQualified(..) => None,
        other => Some(name(other).unwrap_or_else(|| NO_NAME.to_owned())),
    }
}

/// PostgreSQL's rule: what is called or read gives its name, a cast that of its operand or else of its type.
fn name(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Id(id) => Some(unquoted(id.0)),
        Expr::Name(column) | Expr::Qualified(_, column) | Expr::DoublyQualified(_, _, column) => {
            Some(unquoted(column.0))
        }
        Expr::Collate(inner, _) => name(inner),
        Expr::Parenthesized(inner) => match inner.as_slice() {
            [inner] => name(inner),
            _ => None,
        },
        Expr::FunctionCall { name: called, args, .. } => {
            of_call(&unquoted(called.0).to_ascii_lowercase(), args.unwrap_or_default())
        }
        Expr::FunctionCallStar { name, .. } => Some(unquoted(name.0).to_ascii_lowercase()),
        Expr::Cast { expr, type_name } => {
            name(expr).or_else(|| type_name.as_ref().map(|stated| cast_name(stated.name)))
        }
        Expr::Case { else_expr, .. } => else_expr.and_then(strong_name).or_else(|| Some("case".to_owned())),
        Expr::Exists(_) => Some("exists".to_owned()),
        Expr::Subquery(select) => match &select.body.select {
            OneSelect::Select { columns, .. } => match columns.first() {
                Some(ResultColumn::Expr(_, Some(As::As(alias) | As::Elided(alias)))) => {
                    Some(unquoted(alias.0))
                }
                Some(ResultColumn::Expr(inner, None)) => name(inner),
                _ => None,
            },
            OneSelect::Values(_) => None,
        },
        _ => None,
    }
}

fn of_call(function: &str, arguments: &[Expr<'_>]) -> Option<String> {
    if OPERATORS.contains(&function) {
        return None;
    }
    match function {
        "pg_epoch" => return Some("extract".to_owned()),
        "pg_epoch_part" => return Some("date_part".to_owned()),
        _ => {}
    }
    match CASTS.iter().find(|(name, _)| *name == function) {
        Some((_, type_name)) => arguments.first().and_then(name).or_else(|| Some((*type_name).to_owned())),
        None => Some(function.to_owned()),
    }
}

/// The name that an expression gives to a CASE whose ELSE it is: not that of a type, and not "case".
fn strong_name(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Cast { expr, .. } => strong_name(expr),
        Expr::Case { else_expr, .. } => else_expr.and_then(strong_name),
        Expr::FunctionCall { name: called, args, .. }
            if CASTS.iter().any(|(name, _)| called.0.eq_ignore_ascii_case(name)) =>
        {
            args.unwrap_or_default().first().and_then(strong_name)
        }
        other => name(other),
    }
}

fn cast_name(stated: &str) -> String {
    match stated.to_ascii_lowercase().as_str() {
        "integer" => "int8".to_owned(),
        "real" => "float8".to_owned(),
        "blob" => "bytea".to_owned(),
        other => other.to_owned(),
    }
}
