use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use walship_types::{DatabaseName, PageNo, PageSize};

use super::error::ReplayProblem;
use super::replica::Patience;
use crate::dbpage::DbPage;
use crate::page::{PageHashes, TrackedHashes, page_hash};
use crate::raw_file::raw_file;
use crate::sqlite_wal::{FRAME_HEADER_BYTES, HEADER_BYTES, sqlite_wal_path};

/// Takes back what another program wrote to a database under replay.
///
/// `db` has the write lock, so nothing moves meanwhile. Every page is held against
/// the table; what differs is looked for where its good content can still be: in
/// frames of the -wal that are not part of any snapshot any more, and in the
/// database file below the -wal. Nothing is believed but what has the right hash.
/// If a single page cannot be found the file is left as it is: half of somebody
/// else's transaction is no database.
pub(super) fn repair(
    db: &DbPage,
    tracked: &TrackedHashes,
    name: &DatabaseName,
    patience: &Patience<'_>,
) -> Result<(), ReplayProblem> {
    let (differing, pages) = {
        // the table does not change here: only this thread writes it
        let expected = tracked.lock().hashes.clone();
        (differing_pages(db, &expected)?, expected.pages())
    };
    let same_size = db.page_count()? == pages;
    if differing.is_empty() && same_size {
        tracing::warn!(database = %name, "another program committed a transaction that changes nothing");
        return Ok(());
    }
    let found = search(db.path(), db.page_size(), &differing);
    let mut unknown = differing.keys().filter(|page| !found.contains_key(page)).copied();
    if let Some(first) = unknown.next() {
        let unknown = unknown.count() + 1;
        return Err(ReplayProblem::ForeignWrite { pages: differing.len(), unknown, first });
    }
    let mut first_page = None;
    for (&page, &hash) in &differing {
        let image = found.get(&page).and_then(|place| place.read(db.page_size(), page, hash));
        let unreadable = ReplayProblem::ForeignWrite { pages: differing.len(), unknown: 1, first: page };
        let image = image.ok_or(unreadable)?;
        if page == PageNo::FIRST {
            first_page = Some(image);
        } else {
            db.write(page, &image)?;
        }
    }
    db.commit(first_page.as_deref(), pages)?;
    tracing::error!(
        database = %name, pages = differing.len(),
        "another program wrote to the database, which this node only replays; what it wrote was taken back"
    );
    db.begin(patience.deadline, patience.cancel)?;
    db.expect_page_count(pages)?;
    let left = differing_pages(db, &tracked.lock().hashes.clone())?;
    match left.first_key_value() {
        Some((&first, _)) => Err(ReplayProblem::Damaged { pages: left.len(), first }),
        None => Ok(()),
    }
}

/// Pages of the database that do not have the hash they should, with that hash. A
/// page that should be there and is not counts; one beyond the end does not.
pub(crate) fn differing_pages(
    db: &DbPage,
    expected: &PageHashes,
) -> Result<BTreeMap<PageNo, u64>, ReplayProblem> {
    let mut differing = BTreeMap::new();
    let mut last = 0;
    db.for_each_page(|page, content| {
        last = page.0;
        match expected.get(page) {
            Some(hash) if hash != page_hash(page, content) => drop(differing.insert(page, hash)),
            Some(_) => {}
            None => return false,
        }
        true
    })?;
    let lock_page = expected.page_size().lock_page();
    let missing = expected.iter().skip(last as usize).filter(|(page, _)| *page != lock_page);
    differing.extend(missing);
    Ok(differing)
}

/// Where a page's good content is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    file: Arc<File>,
    /// In bytes from the start of the file.
    offset: u64,
}

impl Place {
    /// The content, if it is still there.
    pub(crate) fn read(&self, page_size: PageSize, page: PageNo, hash: u64) -> Option<Vec<u8>> {
        let mut image = vec![0; page_size.bytes()];
        self.file.read_exact_at(&mut image, self.offset).ok()?;
        (page_hash(page, &image) == hash).then_some(image)
    }
}

/// Where content with the right hash is, for as many of the pages `wanted` as can
/// be found.
pub(crate) fn search(
    path: &Path,
    page_size: PageSize,
    wanted: &BTreeMap<PageNo, u64>,
) -> HashMap<PageNo, Place> {
    let mut found = HashMap::new();
    // what cannot be read is no source; the pages then count as unknown
    if let Err(error) = search_sqlite_wal(&sqlite_wal_path(path), page_size, wanted, &mut found) {
        tracing::warn!(file = %path.display(), %error, "could not look for page contents in the -wal");
    }
    match raw_file(path) {
        Ok(file) => search_file(&file, page_size, wanted, &mut found),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "could not look for page contents in the file");
        }
    }
    found
}

fn search_file(
    file: &Arc<File>,
    page_size: PageSize,
    wanted: &BTreeMap<PageNo, u64>,
    found: &mut HashMap<PageNo, Place>,
) {
    for (&page, &hash) in wanted {
        let place = Place { file: Arc::clone(file), offset: page_size.offset_of(page) };
        if !found.contains_key(&page) && place.read(page_size, page, hash).is_some() {
            found.insert(page, place);
        }
    }
}

/// Looks at every frame, valid in SQLite's eyes or not: the hash decides.
fn search_sqlite_wal(
    path: &Path,
    page_size: PageSize,
    wanted: &BTreeMap<PageNo, u64>,
    found: &mut HashMap<PageNo, Place>,
) -> io::Result<()> {
    let file = Arc::new(File::open(path)?);
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_size.bytes()];
    let mut at = HEADER_BYTES as u64;
    loop {
        match file.read_exact_at(&mut frame, at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let (header, image) = frame.split_at(FRAME_HEADER_BYTES);
        let number = header.first_chunk::<4>().map_or(0, |number| u32::from_be_bytes(*number));
        let page = PageNo(number);
        if wanted.get(&page).is_some_and(|&hash| hash == page_hash(page, image)) {
            let offset = at + FRAME_HEADER_BYTES as u64;
            found.insert(page, Place { file: Arc::clone(&file), offset });
        }
        at += frame.len() as u64;
    }
}
