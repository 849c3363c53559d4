use super::lexer::Kind;
use crate::catalog::PgType;

/// A piece of the statement being written: the space in front of it, and its text, which may be a whole operand.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) gap: String,
    pub(super) text: String,
    pub(super) kind: Kind,
    /// Its type, where the catalog knows it.
    pub(super) of: Option<PgType>,
    /// Whether it is an expression: a column brings the collation of its type along, an expression has to be given it.
    computed: bool,
}

impl Piece {
    pub(super) fn new(gap: String, text: impl Into<String>, kind: Kind) -> Piece {
        Piece { gap, text: text.into(), kind, of: None, computed: false }
    }

    /// An expression of a known type, or of none.
    pub(super) fn computed(gap: String, text: String, of: Option<PgType>) -> Piece {
        Piece { gap, text, kind: Kind::Word, of, computed: true }
    }

    /// The name of the collation that has to be written behind it, if any.
    fn collation(&self) -> Option<&'static str> {
        let of = self.of.filter(|_| self.computed)?;
        Some(of.collation()).filter(|name| *name != "BINARY")
    }

    /// As it stands in a statement, where it may be compared or sorted by.
    pub(super) fn write(&self, out: &mut String) {
        self.write_bare(out);
        if let Some(collation) = self.collation() {
            out.push_str(" COLLATE ");
            out.push_str(collation);
        }
    }

    /// As it stands as an argument of one of our functions.
    pub(super) fn write_bare(&self, out: &mut String) {
        out.push_str(&self.gap);
        out.push_str(&self.text);
    }

    /// Whether it is that keyword, name or symbol.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Symbol) && self.text.eq_ignore_ascii_case(text)
    }
}
