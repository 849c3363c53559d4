use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;
use walship_types::PageNo;

use crate::EngineError;
use crate::sqlite::open_internal;

/// The b-tree page types (sqlite.org/fileformat2.html, "B-tree Pages").
const INTERIOR_INDEX: u8 = 2;
const INTERIOR_TABLE: u8 = 5;
/// Length of the database header, in front of the b-tree header of page 1.
const DATABASE_HEADER_BYTES: usize = 100;
/// Where an interior page's header has the number of cells, and the right-most child.
const CELLS: usize = 3;
const RIGHT_CHILD: usize = 8;
const INTERIOR_HEADER_BYTES: usize = 12;
/// A b-tree that is deeper than this is none: with two children each it would have more
/// pages than there are.
const DEPTH_MAX: u32 = 40;

/// Which table the pages of a database belong to, as its b-trees are now. Only interior
/// pages are read, so that it costs little: what hangs on a leaf (overflow pages) belongs
/// to no table here, and neither do free pages.
#[derive(Debug, Default)]
pub struct TablePages {
    tables: Vec<String>,
    /// For each page the index of its table plus one; 0 is none.
    pages: Vec<u16>,
}

impl TablePages {
    /// Reads one state of the database at `path`.
    pub fn read(path: &Path) -> Result<TablePages, EngineError> {
        let connection = open_internal(path)?;
        connection.execute_batch("BEGIN")?;
        let count: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let mut read = TablePages { tables: Vec::new(), pages: vec![0; count as usize] };
        let mut roots = vec![("sqlite_schema".to_owned(), 1)];
        let mut select = connection
            .prepare("SELECT tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0 ORDER BY rootpage")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            roots.push(row?);
        }
        for (table, root) in roots {
            let owner = read.owner(table);
            read.walk(&connection, root, owner, 0)?;
        }
        Ok(read)
    }

    /// The tables that `pages` belong to, by name. A name is all that there is to say of
    /// pages whose table is not known: they are left out.
    pub fn of(&self, pages: &[PageNo]) -> Vec<String> {
        let owner = |page: &PageNo| self.pages.get((page.0 as usize).checked_sub(1)?).copied();
        let owners: BTreeSet<u16> = pages.iter().filter_map(owner).filter(|owner| *owner != 0).collect();
        let name = |owner: u16| self.tables.get(usize::from(owner) - 1).cloned();
        let mut names: Vec<String> = owners.into_iter().filter_map(name).collect();
        names.sort_unstable();
        names
    }

    /// The number of a table; beyond 65,535 of them the last one has to do.
    fn owner(&mut self, table: String) -> u16 {
        let at = self.tables.iter().position(|known| *known == table);
        let at = at.unwrap_or_else(|| {
            self.tables.push(table);
            self.tables.len() - 1
        });
        u16::try_from(at + 1).unwrap_or(u16::MAX)
    }

    fn take(&mut self, page: u32, owner: u16) {
        if let Some(slot) = (page as usize).checked_sub(1).and_then(|at| self.pages.get_mut(at)) {
            *slot = owner;
        }
    }

    /// Takes all pages below `page`; whether that page was an interior one.
    fn walk(
        &mut self,
        connection: &Connection,
        page: u32,
        owner: u16,
        depth: u32,
    ) -> Result<bool, EngineError> {
        self.take(page, owner);
        let children = children(&content(connection, page)?, page);
        let mut leaves = depth >= DEPTH_MAX;
        for child in &children {
            // all children of a page are at the same level, so one tells for all
            if leaves {
                self.take(*child, owner);
            } else {
                leaves = !self.walk(connection, *child, owner, depth + 1)?;
            }
        }
        Ok(!children.is_empty())
    }
}

fn content(connection: &Connection, page: u32) -> Result<Vec<u8>, EngineError> {
    let mut select = connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
    let mut rows = select.query([page])?;
    match rows.next()? {
        Some(row) => Ok(row.get(0)?),
        None => Ok(Vec::new()),
    }
}

/// The children of an interior page; none of a leaf, and none of what is no b-tree page.
fn children(content: &[u8], page: u32) -> Vec<u32> {
    let at = if page == 1 { DATABASE_HEADER_BYTES } else { 0 };
    let number = |offset: usize| {
        let bytes = content.get(offset..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let short = |offset: usize| {
        let bytes = content.get(offset..)?.first_chunk::<2>()?;
        Some(usize::from(u16::from_be_bytes(*bytes)))
    };
    if !matches!(content.get(at), Some(&INTERIOR_INDEX | &INTERIOR_TABLE)) {
        return Vec::new();
    }
    let cells = short(at + CELLS).unwrap_or(0);
    let pointers = (0..cells).filter_map(|cell| short(at + INTERIOR_HEADER_BYTES + 2 * cell));
    // an interior cell begins with its left child
    pointers.filter_map(number).chain(number(at + RIGHT_CHILD)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_belong_to_the_tables_that_dbstat_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        let make = "PRAGMA page_size=512; PRAGMA journal_mode=WAL;
             CREATE TABLE one(a INTEGER PRIMARY KEY, b); CREATE INDEX by_b ON one(b);
             CREATE TABLE two(a PRIMARY KEY, b) WITHOUT ROWID; CREATE TABLE empty(a);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 4000)
             INSERT INTO one SELECT i, hex(randomblob(20)) FROM n;
             INSERT INTO two SELECT b, a FROM one";
        connection.execute_batch(make).unwrap();
        let tables = TablePages::read(&path).unwrap();
        let mut select = connection
            .prepare("SELECT d.pageno, coalesce(s.tbl_name, d.name) FROM dbstat d LEFT JOIN sqlite_schema s USING (name)")
            .unwrap();
        let rows = select.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?)));
        let mut count = 0;
        for row in rows.unwrap() {
            let (page, table) = row.unwrap();
            assert_eq!(tables.of(&[PageNo(page)]), [table], "page {page}");
            count += 1;
        }
        assert!(count > 500, "{count} pages");
        assert_eq!(tables.of(&[PageNo(999_999)]), [""; 0]);
    }
}
