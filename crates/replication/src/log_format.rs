use walship_client::{ClientError, Connection};
use walship_wal::FORMAT_VERSION;

/// The setting that tells it.
const SETTING: &str = "wal_format_version";

/// The log of a server has a format that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the primary's log has format version {found}, expected {FORMAT_VERSION}")]
pub struct OtherLogFormat {
    /// As the server says, or `none` if it does not.
    pub found: String,
}

impl OtherLogFormat {
    /// What to do about it.
    pub const HINT: &'static str = "the primary runs another version of walship: docs/upgrading.md says which may be paired, and in which \
                     order to upgrade";
}

/// Asks a server for the format of its log, before a byte of it is used.
pub async fn check_log_format(
    connection: &mut Connection,
) -> Result<Result<(), OtherLogFormat>, ClientError> {
    let results = connection.query(&format!("SHOW {SETTING}")).await?;
    let found = results.first().and_then(|result| result.text(SETTING)).unwrap_or("none");
    match found.parse() {
        Ok(FORMAT_VERSION) => Ok(Ok(())),
        _ => Ok(Err(OtherLogFormat { found: found.to_owned() })),
    }
}
