use std::path::{Path, PathBuf};

use walship_types::{DatabaseName, PageNo, PageSize};

use crate::dbpage::DbPage;
use crate::redo::{RedoError, RedoOptions, remove_database};

/// Where page 1 keeps the size in pages.
const HEADER_PAGES: std::ops::Range<usize> = 28..32;

/// Puts pages of another node into a database file, as one transaction: what the file is
/// afterwards is the database as it was at the fork, with some pages younger. Replay from
/// there makes one state of it, as it does of a base backup.
#[derive(Debug)]
pub struct PagePutter {
    db: DbPage,
    /// Size at the fork.
    pages: u32,
    first: Option<Vec<u8>>,
}

impl PagePutter {
    /// Begins; a file that is not there is made. `pages` is the size at the fork.
    pub fn begin(
        options: &RedoOptions,
        name: &DatabaseName,
        page_size: PageSize,
        pages: u32,
    ) -> Result<PagePutter, RedoError> {
        let path = options.database_path(name);
        let db = match path.exists() {
            true => DbPage::open(&path, options.cache_kib)?,
            false => DbPage::create(&path, page_size, options.cache_kib)?,
        };
        if db.page_size() != page_size {
            let (found, expected) = (db.page_size().into(), page_size);
            return Err(crate::dbpage::DbPageError::PageSize { path, found, expected }.into());
        }
        db.begin(None, &|| false)?;
        Ok(PagePutter { db, pages, first: None })
    }

    /// Puts consecutive pages from `first` on; those beyond the size at the fork are not
    /// needed, as the log has them.
    pub fn put(&mut self, first: PageNo, content: &[u8]) -> Result<(), RedoError> {
        let lock_page = self.db.page_size().lock_page();
        let pages = content.chunks_exact(self.db.page_size().bytes());
        for (page, image) in (first.0..=self.pages).map(PageNo).zip(pages) {
            match page {
                PageNo::FIRST => self.first = Some(image.to_vec()),
                page if page == lock_page => {}
                page => self.db.write(page, image)?,
            }
        }
        Ok(())
    }

    /// Commits. Page 1 says the size at the fork for now: if the other node's differs, the
    /// log has its page 1 as well.
    pub fn finish(self) -> Result<(), RedoError> {
        let PagePutter { db, pages, first } = self;
        let first = first.map(|mut first| {
            if let Some(size) = first.get_mut(HEADER_PAGES) {
                size.copy_from_slice(&pages.to_be_bytes());
            }
            first
        });
        Ok(db.commit(first.as_deref(), pages)?)
    }

    /// Removes a database's files, if they are there.
    pub fn remove(options: &RedoOptions, name: &DatabaseName) -> Result<(), RedoError> {
        remove_database(&options.database_path(name), &options.hash_path(name))
    }

    /// Removes the table of page hashes: it is not about the file any more.
    pub fn forget_hashes(options: &RedoOptions, name: &DatabaseName) -> Result<(), RedoError> {
        let path = options.hash_path(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => {
                let directory = path.parent().unwrap_or(Path::new("."));
                let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
                synced.map_err(failed("sync", directory))
            }
        }
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RedoError {
    let path: PathBuf = path.to_owned();
    move |source| RedoError::Io { operation, path, source }
}
