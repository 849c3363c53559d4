//! Sums, differences and comparisons of what SQLite would take for numbers: positions, times, intervals, truth.

use super::lexer::{Kind, Token};
use super::output::Writer;
use super::piece::Piece;
use crate::catalog::PgType;
use crate::catalog::cell::parse_timestamp;

/// A sum of sums is written again for each of them.
const OPERAND_BYTES_MAX: usize = 16 << 10;

/// The function that does an operator's work, whether its arguments change places, and what it returns.
type Work = (&'static str, bool, PgType);

impl Writer<'_> {
    /// A sum or difference of positions, times or intervals becomes a call; any other stays.
    pub(super) fn arithmetic(&mut self, operator: &str) {
        let start = self.operand_start();
        let left = self.done.last().map(|piece| (piece.of, piece.kind, piece.text.clone()));
        let middle = self.done.len();
        self.write(operator, Kind::Symbol, 1);
        let right = self.operand();
        let right_piece = self.done.last().map(|piece| (right, piece.kind, piece.text.clone()));
        let (Some(left), Some(right)) = (left, right_piece) else { return };
        let Some((function, swapped, of)) = work(operator, &left, &right) else { return };
        let gap = self.done.get(start).map(|piece| piece.gap.clone()).unwrap_or_default();
        let right = self.collapse_bare(middle + 1);
        self.done.truncate(middle);
        let left = self.collapse_bare(start);
        if left.len() > OPERAND_BYTES_MAX {
            return self.too_complex();
        }
        let (left, right) = (left.trim_start(), right.trim_start());
        let (first, second) = if swapped { (right, left) } else { (left, right) };
        self.done.push(Piece::computed(gap, format!("{function}({first}, {second})"), Some(of)));
    }

    /// Constants are written as what they are compared with: SQLite finds that no number equals a text.
    pub(super) fn comparison(&mut self, operator: Token<'_>) {
        let left = self.done.last().and_then(|piece| piece.of);
        self.write(operator.text, Kind::Symbol, 1);
        let plain = self.string_at(0).and_then(|string| left.and_then(|of| constant_of(of, string)));
        if let Some(plain) = plain {
            self.write(plain, Kind::Number, 1);
        }
    }
}

type Side = (Option<PgType>, Kind, String);

fn work(operator: &str, left: &Side, right: &Side) -> Option<Work> {
    let is_text = |side: &Side| side.1 == Kind::String;
    let is_number = |side: &Side| side.1 == Kind::Number || side.0.is_some_and(|of| of.category() == 'N');
    Some(match (operator, left.0, right.0) {
        ("-", Some(PgType::PgLsn), _) if is_number(right) => ("pg_lsn_mii", false, PgType::PgLsn),
        ("-", Some(PgType::PgLsn), _) | ("-", _, Some(PgType::PgLsn)) => {
            ("pg_lsn_mi", false, PgType::Numeric)
        }
        (_, Some(PgType::PgLsn), _) => ("pg_lsn_sum", false, PgType::PgLsn),
        (_, _, Some(PgType::PgLsn)) => ("pg_lsn_sum", true, PgType::PgLsn),
        ("-", Some(PgType::Timestamptz), Some(PgType::Interval)) => {
            ("pg_time_before", false, PgType::Timestamptz)
        }
        ("-", Some(PgType::Timestamptz), None) if is_text(right) && !is_time(&right.2) => {
            ("pg_time_before", false, PgType::Timestamptz)
        }
        ("-", Some(PgType::Timestamptz), _) | ("-", _, Some(PgType::Timestamptz)) => {
            ("pg_time_difference", false, PgType::Interval)
        }
        (_, Some(PgType::Timestamptz), _) | (_, _, Some(PgType::Timestamptz)) => {
            ("pg_time_sum", false, PgType::Timestamptz)
        }
        ("-", Some(PgType::Interval), Some(PgType::Interval)) => {
            ("pg_interval_difference", false, PgType::Interval)
        }
        ("-", Some(PgType::Interval), None) if is_text(right) => {
            ("pg_interval_difference", false, PgType::Interval)
        }
        ("+", Some(PgType::Interval), Some(PgType::Interval)) => ("pg_interval_sum", false, PgType::Interval),
        ("+", Some(PgType::Interval), None) if is_text(right) => ("pg_interval_sum", false, PgType::Interval),
        _ => return None,
    })
}

fn is_time(literal: &str) -> bool {
    parse_timestamp(literal.trim_matches('\'')).is_some()
}

/// What a string constant beside a value of that type means, if the type is one of truth or a number.
pub(super) fn constant_of(of: PgType, string: &str) -> Option<String> {
    let text = string.trim_matches('\'').trim().to_ascii_lowercase();
    match of.category() {
        'B' => match text.as_str() {
            "t" | "true" | "on" | "yes" | "y" | "1" => Some("1".to_owned()),
            "f" | "false" | "off" | "no" | "n" | "0" => Some("0".to_owned()),
            _ => None,
        },
        'N' if text.parse::<i64>().is_ok() || text.parse::<f64>().is_ok_and(f64::is_finite) => Some(text),
        _ => None,
    }
}
