use walship_types::PageNo;

/// A payload is not what its record's kind says. Offsets are in bytes from the start of
/// the payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// A field goes beyond the end.
    #[error("{field} at offset {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// Which field.
        field: &'static str,
        /// Where it starts.
        offset: usize,
        /// Its length in bytes.
        needed: u64,
        /// Bytes from there to the end.
        available: usize,
    },
    /// A field has a value that it cannot have.
    #[error("{field} at offset {offset} is {found}, expected {expected}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// Where it starts.
        offset: usize,
        /// The value.
        found: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// A name is not one.
    #[error("{field} at offset {offset} is not a name: {found:?}")]
    InvalidName {
        /// Which field.
        field: &'static str,
        /// Where it starts.
        offset: usize,
        /// What is there, as text, with what is not text replaced.
        found: String,
    },
    /// A varint has more than its 10 bytes, or more than 64 bits.
    #[error("{field} at offset {offset} is a number of more than 64 bits")]
    Overlong {
        /// Which field.
        field: &'static str,
        /// Where it starts.
        offset: usize,
    },
    /// Bytes follow the last field.
    #[error("{excess} bytes follow the last field, which ends at offset {offset}")]
    Excess {
        /// End of the last field.
        offset: usize,
        /// How many follow.
        excess: usize,
    },
    /// A range of a page does not lie behind the one before it, within the page.
    #[error("range {index} of page {page} is bytes {start} to {end}, page size is {page_size}")]
    RangeOutsidePage {
        /// Page number.
        page: u64,
        /// Which of its ranges, from 0.
        index: u64,
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes in a page.
        page_size: u64,
    },
    /// A compressed image is not one of a page of that size.
    #[error("image of page {page} does not decompress to {page_size} bytes: {problem}")]
    Compressed {
        /// Page number.
        page: PageNo,
        /// Bytes in a page.
        page_size: usize,
        /// What is there instead.
        problem: String,
    },
    /// An entry was applied to a page of another size than its payload says.
    #[error("an entry of page {page} does not fit a page of {page_size} bytes")]
    PageSize {
        /// Page number.
        page: PageNo,
        /// Bytes in the page.
        page_size: usize,
    },
}
