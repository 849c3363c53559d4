use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::TlsError;

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

fn content(what: &'static str, path: &Path, problem: impl ToString) -> TlsError {
    TlsError::Content { what, path: path.to_owned(), problem: problem.to_string() }
}

/// A chain, the end entity's first; not empty.
pub(crate) fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(what, path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, PemError>>();
    let chain = chain.map_err(|error| content(what, path, error))?;
    if chain.is_empty() { Err(content(what, path, "no certificate in it")) } else { Ok(chain) }
}

/// Certificates whose signature is trusted, as they are and as rustls wants them.
pub(crate) fn roots(path: &Path) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), TlsError> {
    const WHAT: &str = "root certificate";
    let certificates = certificates(WHAT, path)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| content(WHAT, path, error))?;
    }
    Ok((certificates, store))
}

pub(crate) fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    const WHAT: &str = "certificate revocation list";
    let bytes = read(WHAT, path)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, PemError>>();
    lists.map_err(|error| content(WHAT, path, error))
}

/// A private key that nobody else can read.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    const WHAT: &str = "private key";
    let io = |source| TlsError::Read { what: WHAT, path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(io(io::Error::other("not a regular file")));
    }
    check_access(path, metadata.uid(), metadata.mode() & 0o7777)?;
    let bytes = read(WHAT, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        PemError::NoItemsFound => {
            content(WHAT, path, "no private key in it, or one with a passphrase, which is not supported")
        }
        error => content(WHAT, path, error),
    })
}

/// PostgreSQL's rule: ours and for nobody else, or root's and readable for our group.
fn check_access(path: &Path, owner: u32, mode: u32) -> Result<(), TlsError> {
    const ROOT: u32 = 0;
    // the process's own entry belongs to its effective user
    let own = fs::metadata("/proc/self").map_or(ROOT, |metadata| metadata.uid());
    let allowed = match owner {
        ROOT => 0o640,
        owner if owner == own => 0o600,
        _ => return Err(TlsError::KeyOwner { path: path.to_owned() }),
    };
    // whether its owner may execute it tells nobody the key
    if mode & !(allowed | 0o100) == 0 {
        Ok(())
    } else {
        Err(TlsError::KeyPermissions { path: path.to_owned(), mode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_their_owners_alone() {
        let own = fs::metadata("/proc/self").unwrap().uid();
        let check = |owner, mode| check_access(Path::new("k"), owner, mode).is_ok();
        assert!(check(own, 0o600) && check(own, 0o400) && check(0, 0o640));
        assert!(!check(own, 0o604) && !check(own, 0o660) && !check(0, 0o644));
        assert!(!check(own + 12345, 0o600));
    }
}
