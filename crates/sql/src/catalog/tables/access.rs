use walship_auth::hba::{Address, Rule, Token};

use super::Column;
use crate::catalog::cell::{Cell, array_text};
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{INT4, TEXT, TEXT_ARRAY};

pub(super) static TABLES: &[Table] =
    &[Table { name: "pg_hba_file_rules", columns: RULES, rows: Rows::Live(rules) }];

static RULES: &[Column] = &[
    ("line_number", &INT4),
    ("type", &TEXT),
    ("database", &TEXT_ARRAY),
    ("user_name", &TEXT_ARRAY),
    ("address", &TEXT),
    ("netmask", &TEXT),
    ("auth_method", &TEXT),
    ("options", &TEXT_ARRAY),
    ("error", &TEXT),
];

/// The file as it is now, which a reload would put in force.
fn rules(scope: &Scope) -> Vec<Row> {
    match scope.source.access_rules() {
        Ok(parsed) => parsed
            .lines
            .into_iter()
            .map(|(line, rule)| match rule {
                Ok(rule) => row(&rule),
                Err(error) => mistake(line.into(), error.to_string()),
            })
            .collect(),
        Err(error) => vec![mistake(Cell::Null, error.report().message.clone())],
    }
}

fn mistake(line: Cell, error: String) -> Row {
    let mut row: Row = vec![line];
    row.resize(RULES.len() - 1, Cell::Null);
    row.push(error.into());
    row
}

fn row(rule: &Rule) -> Row {
    let names = |tokens: &[Token]| Cell::Text(array_text(tokens.iter().map(|token| token.text.as_str())));
    let (address, mask) = match rule.address {
        None => (Cell::Null, Cell::Null),
        Some(Address::All) => ("all".into(), Cell::Null),
        Some(Address::SameHost) => ("samehost".into(), Cell::Null),
        Some(Address::SameNet) => ("samenet".into(), Cell::Null),
        Some(Address::Network(network)) => {
            (network.address.to_string().into(), network.mask.to_string().into())
        }
    };
    let options = rule.options();
    let options = match options.is_empty() {
        true => Cell::Null,
        false => Cell::Text(array_text(options.iter().map(String::as_str))),
    };
    vec![
        rule.line.into(),
        rule.connection.name().into(),
        names(&rule.databases),
        names(&rule.users),
        address,
        mask,
        rule.method.name().into(),
        options,
        Cell::Null,
    ]
}
