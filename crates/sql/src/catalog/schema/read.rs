use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::{Connection, Row};

use super::check::{Check, checks};
use super::{
    CONSTRAINT_OIDS, Column, Constraint, FIRST_USER_OID, Index, IndexKey, PG_CATALOG, PG_TEMP, PUBLIC,
    ROWID_INDEX_OIDS, Relation, Schema, TEMPORARY_OIDS, Trigger,
};
use crate::catalog::PgType;
use crate::catalog::functions::quote_identifier;
use crate::catalog::rewrite::tokens;

/// Everything that SQLite lists, of the database and of the session's temporary schema.
const OBJECTS: &str = "SELECT 0, rowid, type, name, tbl_name, sql FROM main.sqlite_schema \
                       UNION ALL SELECT 1, rowid, type, name, tbl_name, sql FROM temp.sqlite_schema";

struct Object {
    temporary: bool,
    rowid: i64,
    kind: String,
    name: String,
    table: String,
    sql: Option<String>,
}

impl Object {
    fn read(row: &Row<'_>) -> rusqlite::Result<Object> {
        Ok(Object {
            temporary: row.get(0)?,
            rowid: row.get(1)?,
            kind: row.get(2)?,
            name: row.get(3)?,
            table: row.get(4)?,
            sql: row.get(5)?,
        })
    }

    fn oid(&self) -> i64 {
        FIRST_USER_OID + self.rowid + if self.temporary { TEMPORARY_OIDS } else { 0 }
    }

    fn schema(&self) -> &'static str {
        if self.temporary { "temp" } else { "main" }
    }
}

/// Differs whenever the schema does.
pub(super) fn key(connection: &Connection) -> rusqlite::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut statement = connection.prepare(OBJECTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let object = Object::read(row)?;
        (object.temporary, object.rowid, &object.name, &object.sql).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

pub(super) fn schema(connection: &Connection, key: u64) -> rusqlite::Result<Schema> {
    let mut statement = connection.prepare(OBJECTS)?;
    let objects: Vec<Object> = statement.query_map([], Object::read)?.collect::<rusqlite::Result<_>>()?;
    let mut reader = Reader { connection, schema: Schema { key, ..Schema::default() } };
    for object in objects.iter().filter(|object| object.kind == "table" || object.kind == "view") {
        reader.relation(object)?;
    }
    for object in objects.iter().filter(|object| object.kind == "table") {
        reader.indexes(object, &objects)?;
    }
    for object in objects.iter().filter(|object| object.kind == "table") {
        reader.foreign_keys(object)?;
        reader.checks(object);
    }
    for object in objects.iter().filter(|object| object.kind == "trigger") {
        reader.trigger(object);
    }
    Ok(reader.schema)
}

struct Reader<'a> {
    connection: &'a Connection,
    schema: Schema,
}

impl Reader<'_> {
    fn relation(&mut self, object: &Object) -> rusqlite::Result<()> {
        let is_view = object.kind == "view";
        let sql = object.sql.clone().unwrap_or_default();
        let is_virtual = starts_with_words(&sql, &["create", "virtual"]);
        let namespace = match () {
            () if object.name.starts_with("sqlite_") => PG_CATALOG,
            () if object.temporary => PG_TEMP,
            () => PUBLIC,
        };
        self.schema.relations.push(Relation {
            oid: object.oid(),
            name: object.name.clone(),
            namespace,
            kind: if is_view { "v" } else { "r" },
            temporary: object.temporary,
            btree: (!is_view && !is_virtual).then(|| object.name.clone()),
            // a view whose tables are gone, a virtual table whose module is unknown: listed, without columns
            columns: self.columns(object).unwrap_or_default(),
            sql,
        });
        Ok(())
    }

    fn columns(&self, object: &Object) -> rusqlite::Result<Vec<Column>> {
        let mut statement = self.connection.prepare(
            "SELECT name, type, \"notnull\", dflt_value, pk, hidden, count(*) FILTER (WHERE pk > 0) OVER () \
             FROM pragma_table_xinfo(?1, ?2) WHERE hidden <> 1 ORDER BY cid",
        )?;
        let column = |row: &Row<'_>| {
            let declared: String = row.get(1)?;
            let kind = PgType::from_declaration(&declared);
            let (key, keys): (i64, i64) = (row.get(4)?, row.get(6)?);
            let is_rowid = key > 0 && keys == 1 && declared.eq_ignore_ascii_case("integer");
            Ok(Column {
                name: row.get(0)?,
                kind,
                length: kind.declared_length(&declared),
                not_null: row.get::<_, bool>(2)? || is_rowid,
                default: row.get(3)?,
                generated: match row.get(5)? {
                    2_i64 => "v",
                    3 => "s",
                    _ => "",
                },
            })
        };
        statement.query_map([object.name.as_str(), object.schema()], column)?.collect()
    }

    fn indexes(&mut self, object: &Object, objects: &[Object]) -> rusqlite::Result<()> {
        let mut list = self
            .connection
            .prepare("SELECT name, \"unique\", origin FROM pragma_index_list(?1, ?2) ORDER BY seq DESC")?;
        let listed: Vec<(String, bool, String)> = list
            .query_map([object.name.as_str(), object.schema()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let has_primary = listed.iter().any(|(_, _, origin)| origin == "pk");
        for (name, unique, origin) in listed {
            let source = objects.iter().find(|other| {
                other.kind == "index" && other.name == name && other.temporary == object.temporary
            });
            let Some(source) = source else { continue };
            let keys = self.index_keys(&name, object, source.sql.as_deref())?;
            let shown = match origin.as_str() {
                "pk" => format!("{}_pkey", object.name),
                "u" => {
                    let columns: Vec<&str> = keys.iter().map(|key| key.text.trim_matches('"')).collect();
                    format!("{}_{}_key", object.name, columns.join("_"))
                }
                _ => name.clone(),
            };
            let index = Index {
                oid: source.oid(),
                table: object.oid(),
                name: self.free_index_name(shown),
                namespace: self.namespace_of(object),
                btree: Some(name),
                unique,
                primary: origin == "pk",
                constraint: origin == "u",
                predicate: source.sql.as_deref().and_then(predicate),
                keys,
            };
            self.push_index(index, object);
        }
        if !has_primary {
            self.rowid_index(object);
        }
        Ok(())
    }

    /// The primary key that is the table's own b-tree: INTEGER PRIMARY KEY, or that of a WITHOUT ROWID table.
    fn rowid_index(&mut self, object: &Object) {
        let keys: rusqlite::Result<Vec<String>> = self
            .connection
            .prepare("SELECT name FROM pragma_table_xinfo(?1, ?2) WHERE pk > 0 ORDER BY pk")
            .and_then(|mut statement| {
                statement.query_map([object.name.as_str(), object.schema()], |row| row.get(0))?.collect()
            });
        let Some(keys) = keys.ok().filter(|keys| !keys.is_empty()) else { return };
        let attribute = |name: &str| self.attribute(object.oid(), name);
        let keys = keys
            .iter()
            .map(|name| IndexKey {
                attribute: attribute(name),
                text: quote_identifier(name),
                descending: false,
            })
            .collect();
        let index = Index {
            oid: object.oid() + ROWID_INDEX_OIDS,
            table: object.oid(),
            name: self.free_index_name(format!("{}_pkey", object.name)),
            namespace: self.namespace_of(object),
            btree: None,
            unique: true,
            primary: true,
            constraint: false,
            predicate: None,
            keys,
        };
        self.push_index(index, object);
    }

    fn index_keys(&self, name: &str, table: &Object, sql: Option<&str>) -> rusqlite::Result<Vec<IndexKey>> {
        let mut statement = self.connection.prepare(
            "SELECT cid, name, \"desc\" FROM pragma_index_xinfo(?1, ?2) WHERE key = 1 ORDER BY seqno",
        )?;
        let written = sql.map(key_texts).unwrap_or_default();
        let mut rows = statement.query([name, table.schema()])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let column: Option<String> = row.get(1)?;
            let (attribute, text) = match column {
                Some(column) => (self.attribute(table.oid(), &column), quote_identifier(&column)),
                None => (0, written.get(keys.len()).cloned().unwrap_or_else(|| "expression".to_owned())),
            };
            keys.push(IndexKey { attribute, text, descending: row.get(2)? });
        }
        Ok(keys)
    }

    fn push_index(&mut self, index: Index, table: &Object) {
        if index.primary || index.constraint {
            let keys: Vec<&str> = index.keys.iter().map(|key| key.text.as_str()).collect();
            let (kind, words) = if index.primary { ("p", "PRIMARY KEY") } else { ("u", "UNIQUE") };
            let constraint = Constraint {
                oid: self.next_constraint(),
                name: index.name.clone(),
                namespace: index.namespace,
                kind,
                table: table.oid(),
                index: index.oid,
                foreign_table: 0,
                columns: index.keys.iter().map(|key| key.attribute).collect(),
                foreign_columns: Vec::new(),
                definition: format!("{words} ({})", keys.join(", ")),
                deferrable: false,
            };
            self.schema.constraints.push(constraint);
        }
        self.schema.indexes.push(index);
    }

    fn foreign_keys(&mut self, object: &Object) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT id, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1, ?2) ORDER BY id, seq",
        )?;
        let mut rows = statement.query([object.name.as_str(), object.schema()])?;
        let mut keys: Vec<ForeignKey> = Vec::new();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            if keys.last().is_none_or(|last| last.id != id) {
                let (table, on_update, on_delete) = (row.get(1)?, row.get(4)?, row.get(5)?);
                keys.push(ForeignKey { id, table, on_update, on_delete, from: Vec::new(), to: Vec::new() });
            }
            if let Some(key) = keys.last_mut() {
                key.from.push(row.get(2)?);
                key.to.extend(row.get::<_, Option<String>>(3)?);
            }
        }
        keys.sort_by_key(|key| std::cmp::Reverse(key.id));
        for key in keys {
            self.foreign_key(object, key);
        }
        Ok(())
    }

    fn foreign_key(&mut self, object: &Object, mut key: ForeignKey) {
        let foreign = self.schema.relation_by_text(&key.table).map_or(0, |relation| relation.oid);
        if key.to.is_empty() {
            let primary = self.schema.indexes.iter().find(|index| index.table == foreign && index.primary);
            key.to =
                primary.map(|index| index.keys.iter().map(|k| k.text.clone()).collect()).unwrap_or_default();
        }
        let quoted =
            |names: &[String]| names.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
        let mut definition = format!(
            "FOREIGN KEY ({}) REFERENCES {}({})",
            quoted(&key.from),
            quote_identifier(&key.table),
            quoted(&key.to)
        );
        for (event, action) in [("UPDATE", &key.on_update), ("DELETE", &key.on_delete)] {
            if action != "NO ACTION" {
                definition.push_str(&format!(" ON {event} {action}"));
            }
        }
        let constraint = Constraint {
            oid: self.next_constraint(),
            name: format!("{}_{}_fkey", object.name, key.from.join("_")),
            namespace: self.namespace_of(object),
            kind: "f",
            table: object.oid(),
            index: 0,
            foreign_table: foreign,
            columns: key.from.iter().map(|name| self.attribute(object.oid(), name)).collect(),
            foreign_columns: key.to.iter().map(|name| self.attribute(foreign, name)).collect(),
            definition,
            deferrable: false,
        };
        self.schema.constraints.push(constraint);
    }

    /// The table's columns that an expression names.
    fn columns_named(&self, object: &Object, expression: &str) -> Vec<String> {
        let words = tokens(expression);
        let named = |column: &&Column| {
            words.iter().any(|word| word.text.trim_matches('"').eq_ignore_ascii_case(&column.name))
        };
        let relation = self.schema.relation(object.oid());
        let columns = relation.map(|relation| relation.columns.iter()).unwrap_or_default();
        columns.filter(named).map(|column| column.name.clone()).collect()
    }

    fn checks(&mut self, object: &Object) {
        for Check { name, expression } in checks(object.sql.as_deref().unwrap_or_default()) {
            // PostgreSQL's rule: after the column, if it is about a single one
            let base = match (name, self.columns_named(object, &expression).as_slice()) {
                (Some(name), _) => name,
                (None, [column]) => format!("{}_{column}_check", object.name),
                (None, _) => format!("{}_check", object.name),
            };
            let taken = |name: &str| {
                self.schema.constraints.iter().any(|other| other.table == object.oid() && other.name == name)
            };
            let numbered = (1..).map(|n| format!("{base}{n}"));
            let name =
                std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
            let constraint = Constraint {
                oid: self.next_constraint(),
                name,
                namespace: self.namespace_of(object),
                kind: "c",
                table: object.oid(),
                index: 0,
                foreign_table: 0,
                columns: Vec::new(),
                foreign_columns: Vec::new(),
                definition: format!("CHECK ({expression})"),
                deferrable: false,
            };
            self.schema.constraints.push(constraint);
        }
    }

    fn trigger(&mut self, object: &Object) {
        let Some(table) = self.schema.relations.iter().find(|relation| relation.name == object.table) else {
            return;
        };
        let trigger = Trigger {
            oid: object.oid(),
            table: table.oid,
            name: object.name.clone(),
            sql: object.sql.clone().unwrap_or_default(),
        };
        self.schema.triggers.push(trigger);
    }

    fn attribute(&self, table: i64, column: &str) -> i64 {
        let columns =
            self.schema.relation(table).map(|relation| relation.columns.as_slice()).unwrap_or_default();
        let place =
            columns.iter().position(|other| other.name.eq_ignore_ascii_case(column.trim_matches('"')));
        place.and_then(|place| i64::try_from(place + 1).ok()).unwrap_or(0)
    }

    fn namespace_of(&self, object: &Object) -> i64 {
        self.schema.relation(object.oid()).map_or(PUBLIC, |relation| relation.namespace)
    }

    fn next_constraint(&self) -> i64 {
        CONSTRAINT_OIDS + i64::try_from(self.schema.constraints.len()).unwrap_or(0)
    }

    /// Made-up names must not collide with real ones.
    fn free_index_name(&self, wanted: String) -> String {
        let taken = |name: &str| self.schema.indexes.iter().any(|index| index.name == name);
        let numbered = (1..).map(|n| format!("{wanted}{n}"));
        std::iter::once(wanted.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(wanted)
    }
}

struct ForeignKey {
    id: i64,
    table: String,
    on_update: String,
    on_delete: String,
    from: Vec<String>,
    to: Vec<String>,
}

fn starts_with_words(sql: &str, words: &[&str]) -> bool {
    let mut found = sql.split_ascii_whitespace();
    words.iter().all(|word| found.next().is_some_and(|next| next.eq_ignore_ascii_case(word)))
}

/// The expression behind WHERE in the text of a partial index.
fn predicate(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let mut depth = 0_i32;
    for token in &tokens {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            word if depth == 0 && word.eq_ignore_ascii_case("where") => {
                return sql.get(token.end..).map(|rest| rest.trim().to_owned());
            }
            _ => {}
        }
    }
    None
}

/// The texts between the parentheses of a CREATE INDEX, one for each key, without ASC and DESC.
fn key_texts(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let (mut texts, mut depth, mut start) = (Vec::new(), 0_i32, 0_usize);
    for token in &tokens {
        match (token.text, depth) {
            ("(", 0) => start = token.end,
            (")", 1) | (",", 1) => {
                let text = sql.get(start..token.start).unwrap_or_default().trim();
                let bare = [" DESC", " ASC", " desc", " asc"].iter().find_map(|word| text.strip_suffix(word));
                texts.push(bare.unwrap_or(text).to_owned());
                start = token.end;
            }
            _ => {}
        }
        match token.text {
            "(" => depth += 1,
            ")" if depth == 1 => break,
            ")" => depth -= 1,
            _ => {}
        }
    }
    texts
}
