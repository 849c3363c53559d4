use rusqlite::Connection;
use sqlite3_parser::ast::{
    As, Cmd, Expr, FromClause, InsertBody, JoinConstraint, Limit, OneSelect, QualifiedName, ResultColumn,
    Select, SelectTable, Set, Stmt, Upsert, UpsertDo, With,
};

use super::expression::unified;
use super::scope::{Content, NamedType, Source, table_columns, unquoted};
use crate::error::SqlError;
use crate::plan::TypeHints;
use crate::value::PgType;

/// A walk over one statement.
pub(super) struct Walk<'w> {
    connection: &'w Connection,
    functions: &'w dyn Fn(&str) -> Option<PgType>,
    parameters: &'w mut Vec<Option<PgType>>,
    // what each query around here reads from, the innermost last
    scopes: Vec<Vec<Source>>,
    // common table expressions in sight, the innermost last
    common: Vec<(String, Vec<NamedType>)>,
    // whether operators have to be PostgreSQL's
    pub(super) asks_catalog: bool,
    // the first operator that is none of them
    pub(super) refused: Option<SqlError>,
}

impl<'w> Walk<'w> {
    pub(super) fn new(
        connection: &'w Connection,
        hints: TypeHints<'w>,
        parameters: &'w mut Vec<Option<PgType>>,
    ) -> Walk<'w> {
        Walk {
            connection,
            functions: hints.functions,
            parameters,
            scopes: Vec::new(),
            common: Vec::new(),
            asks_catalog: hints.asks_catalog,
            refused: None,
        }
    }

    /// Types of the result; `None` where the statement has none.
    pub(super) fn command(&mut self, command: &Cmd<'_>) -> Option<Vec<Option<PgType>>> {
        let Cmd::Stmt(statement) = command else { return None };
        let columns = match statement {
            Stmt::Select(select) => self.select(select, &[]),
            Stmt::Insert { with, tbl_name, columns, body, returning, .. } => {
                self.with(with.as_ref());
                let names: Option<Vec<String>> =
                    columns.as_ref().map(|names| names.iter().map(|name| unquoted(name.0)).collect());
                self.insert(tbl_name, names, body);
                self.returning(tbl_name, *returning)
            }
            Stmt::Update { with, tbl_name, sets, from, where_clause, returning, limit, .. } => {
                self.with(with.as_ref());
                let mut sources = vec![table_source(tbl_name)];
                if let Some(from) = from {
                    self.from(from, &mut sources);
                }
                self.scopes.push(sources);
                self.sets(tbl_name, sets);
                self.condition(where_clause.as_ref());
                self.limit(*limit);
                self.scopes.pop();
                self.returning(tbl_name, *returning)
            }
            Stmt::Delete { with, tbl_name, where_clause, returning, limit, .. } => {
                self.with(with.as_ref());
                self.scopes.push(vec![table_source(tbl_name)]);
                self.condition(where_clause.as_ref());
                self.limit(*limit);
                self.scopes.pop();
                self.returning(tbl_name, *returning)
            }
            _ => return None,
        };
        Some(columns.into_iter().map(|(_, pg_type)| pg_type).collect())
    }

    /// A parameter's type, which is `expected` where nothing was known before.
    pub(super) fn parameter(&mut self, name: &str, expected: Option<PgType>) -> Option<PgType> {
        let number = name.get(1..).and_then(|digits| digits.parse::<usize>().ok())?;
        let slot = self.parameters.get_mut(number.checked_sub(1)?)?;
        if slot.is_none() {
            *slot = expected;
        }
        *slot
    }

    pub(super) fn function_type(&self, name: &str) -> Option<PgType> {
        (self.functions)(name)
    }

    /// The type of a column that an expression names.
    pub(super) fn column(&self, table: Option<&str>, column: &str) -> Option<PgType> {
        let (table, column) = (table.map(unquoted), unquoted(column));
        let matches =
            |source: &&Source| table.as_ref().is_none_or(|table| source.alias.eq_ignore_ascii_case(table));
        self.scopes
            .iter()
            .rev()
            .flat_map(|sources| sources.iter().filter(matches))
            .find_map(|source| source.column(self.connection, &column))
            .flatten()
    }

    fn with(&mut self, with: Option<&With<'_>>) {
        for expression in with.map(|with| with.ctes).unwrap_or_default() {
            let mut columns = self.select(expression.select, &[]);
            for (column, name) in columns.iter_mut().zip(expression.columns.unwrap_or_default()) {
                column.0 = unquoted(name.col_name.0);
            }
            self.common.push((unquoted(expression.tbl_name.0), columns));
        }
    }

    /// Columns of a query. `expected` says what its result goes to.
    pub(super) fn select(&mut self, select: &Select<'_>, expected: &[Option<PgType>]) -> Vec<NamedType> {
        let common_before = self.common.len();
        self.with(select.with.as_ref());
        let mut columns = self.one_select(&select.body.select, expected);
        for compound in select.body.compounds.iter().flatten() {
            let others = self.one_select(&compound.select, expected);
            for (column, other) in columns.iter_mut().zip(others) {
                column.1 = unified(column.1, other.1);
            }
        }
        self.limit(select.limit);
        self.common.truncate(common_before);
        columns
    }

    fn one_select(&mut self, select: &OneSelect<'_>, expected: &[Option<PgType>]) -> Vec<NamedType> {
        let (columns, from, conditions, group_by) = match select {
            OneSelect::Values(rows) => return self.values(rows, expected),
            OneSelect::Select { columns, from, where_clause, group_by, having, .. } => {
                (columns, from, [*where_clause, *having], group_by)
            }
        };
        let mut sources = Vec::new();
        if let Some(from) = from {
            self.from(from, &mut sources);
        }
        self.scopes.push(sources);
        for condition in conditions {
            self.condition(condition);
        }
        for expression in group_by.unwrap_or_default() {
            self.expression(expression, None);
        }
        let found = self.result(columns, expected);
        self.scopes.pop();
        found
    }

    fn values(
        &mut self,
        rows: &[sqlite3_parser::Vec<'_, Expr<'_>>],
        expected: &[Option<PgType>],
    ) -> Vec<NamedType> {
        let mut columns: Vec<NamedType> = Vec::new();
        for row in rows {
            for (at, expression) in row.iter().enumerate() {
                let found = self.expression(expression, expected.get(at).copied().flatten());
                match columns.get_mut(at) {
                    Some(column) => column.1 = unified(column.1, found),
                    None => columns.push((format!("column{}", at + 1), found)),
                }
            }
        }
        columns
    }

    fn result(&mut self, columns: &[ResultColumn<'_>], expected: &[Option<PgType>]) -> Vec<NamedType> {
        let mut found = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            match column {
                ResultColumn::Expr(expression, alias) => {
                    let pg_type = self.expression(expression, expected.get(at).copied().flatten());
                    let name = match (alias, expression) {
                        (Some(As::As(name) | As::Elided(name)), _) => name.0,
                        (None, Expr::Id(id)) => id.0,
                        (None, Expr::Name(name) | Expr::Qualified(_, name)) => name.0,
                        _ => "",
                    };
                    found.push((unquoted(name), pg_type));
                }
                ResultColumn::Star => self.star(None, &mut found),
                ResultColumn::TableStar(table) => self.star(Some(&unquoted(table.0)), &mut found),
            }
        }
        found
    }

    // a source whose columns cannot be told adds none, and the caller notices by the count
    fn star(&self, table: Option<&str>, found: &mut Vec<NamedType>) {
        let sources = self.scopes.last().map(Vec::as_slice).unwrap_or_default();
        for source in sources {
            if table.is_none_or(|table| source.alias.eq_ignore_ascii_case(table)) {
                found.extend(source.columns(self.connection).unwrap_or_default());
            }
        }
    }

    fn from(&mut self, from: &FromClause<'_>, sources: &mut Vec<Source>) {
        if let Some(table) = from.select {
            self.source(table, sources);
        }
        for join in from.joins.iter().flatten() {
            self.source(&join.table, sources);
            if let Some(JoinConstraint::On(condition)) = &join.constraint {
                self.scopes.push(sources.clone());
                self.condition(Some(condition));
                self.scopes.pop();
            }
        }
    }

    fn source(&mut self, table: &SelectTable<'_>, sources: &mut Vec<Source>) {
        match table {
            SelectTable::Table(name, alias, _) | SelectTable::TableCall(name, _, alias) => {
                if let SelectTable::TableCall(_, arguments, _) = table {
                    for argument in arguments.unwrap_or_default() {
                        self.expression(argument, None);
                    }
                }
                let own = unquoted(name.name.0);
                let known = self.common.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(&own));
                let content = match known {
                    Some((_, columns)) => Content::Columns(columns.clone()),
                    None => Content::Table(own.clone()),
                };
                sources.push(Source { alias: alias_name(alias.as_ref()).unwrap_or(own), content });
            }
            SelectTable::Select(select, alias) => {
                let columns = self.select(select, &[]);
                let alias = alias_name(alias.as_ref()).unwrap_or_default();
                sources.push(Source { alias, content: Content::Columns(columns) });
            }
            SelectTable::Sub(from, _) => self.from(from, sources),
        }
    }

    fn condition(&mut self, condition: Option<&Expr<'_>>) {
        if let Some(condition) = condition {
            self.expression(condition, Some(PgType::Bool));
        }
    }

    fn limit(&mut self, limit: Option<&Limit<'_>>) {
        if let Some(limit) = limit {
            self.expression(&limit.expr, Some(PgType::Int8));
            if let Some(offset) = &limit.offset {
                self.expression(offset, Some(PgType::Int8));
            }
        }
    }

    fn insert(&mut self, table: &QualifiedName<'_>, names: Option<Vec<String>>, body: &InsertBody<'_>) {
        let InsertBody::Select(select, upsert) = body else { return };
        let source = table_source(table);
        let expected: Vec<Option<PgType>> = match names {
            Some(names) => names.iter().map(|name| source.column(self.connection, name).flatten()).collect(),
            None => {
                let columns = table_columns(self.connection, &unquoted(table.name.0)).unwrap_or_default();
                columns.into_iter().map(|(_, pg_type)| pg_type).collect()
            }
        };
        self.select(select, &expected);
        let mut upsert = *upsert;
        while let Some(clause) = upsert {
            self.upsert(table, clause);
            upsert = clause.next;
        }
    }

    fn upsert(&mut self, table: &QualifiedName<'_>, clause: &Upsert<'_>) {
        let excluded =
            Source { alias: "excluded".to_owned(), content: Content::Table(unquoted(table.name.0)) };
        self.scopes.push(vec![table_source(table), excluded]);
        if let UpsertDo::Set { sets, where_clause } = &clause.do_clause {
            self.sets(table, sets);
            self.condition(where_clause.as_ref());
        }
        self.scopes.pop();
    }

    fn sets(&mut self, table: &QualifiedName<'_>, sets: &[Set<'_>]) {
        let source = table_source(table);
        for set in sets {
            let types: Vec<Option<PgType>> = set
                .col_names
                .iter()
                .map(|name| source.column(self.connection, &unquoted(name.0)).flatten())
                .collect();
            match (&set.expr, types.as_slice()) {
                (Expr::Parenthesized(items), types) if types.len() > 1 => {
                    for (item, expected) in items.iter().zip(types) {
                        self.expression(item, *expected);
                    }
                }
                (expression, types) => {
                    self.expression(expression, types.first().copied().flatten());
                }
            }
        }
    }

    fn returning(
        &mut self,
        table: &QualifiedName<'_>,
        returning: Option<&[ResultColumn<'_>]>,
    ) -> Vec<NamedType> {
        self.scopes.push(vec![table_source(table)]);
        let found = self.result(returning.unwrap_or_default(), &[]);
        self.scopes.pop();
        found
    }
}

fn table_source(table: &QualifiedName<'_>) -> Source {
    let own = unquoted(table.name.0);
    let alias = table.alias.as_ref().map_or_else(|| own.clone(), |alias| unquoted(alias.0));
    Source { alias, content: Content::Table(own) }
}

fn alias_name(alias: Option<&As<'_>>) -> Option<String> {
    alias.map(|alias| match alias {
        As::As(name) | As::Elided(name) => unquoted(name.0),
    })
}
