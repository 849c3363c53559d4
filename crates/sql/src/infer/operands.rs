//! Operators that SQLite would apply to the digits of a position, a time or an interval: in questions about the
//! catalog they are errors, not wrong numbers.

use sqlite3_parser::ast::{Expr, Operator};
use walship_protocol::wire::SqlState;

use super::statement::Walk;
use crate::error::SqlError;
use crate::value::PgType;

impl Walk<'_> {
    /// Notes an operator between operands that PostgreSQL has none for, or that the rewriting did not understand.
    pub(super) fn check_operator(
        &mut self,
        operator: Operator,
        (left, left_type): (&Expr<'_>, Option<PgType>),
        (right, right_type): (&Expr<'_>, Option<PgType>),
    ) {
        use Operator as Op;
        let shown = match operator {
            Op::Add => "+",
            Op::Subtract => "-",
            Op::Multiply => "*",
            Op::Divide => "/",
            Op::Modulus => "%",
            Op::Less => "<",
            Op::LessEquals => "<=",
            Op::Greater => ">",
            Op::GreaterEquals => ">=",
            Op::Equals => "=",
            Op::NotEquals => "<>",
            _ => return,
        };
        let hint = match operator {
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Modulus => {
                wrong_sum(left_type).or_else(|| wrong_sum(right_type))
            }
            _ => wrong_comparison((left, left_type), (right, right_type))
                .or_else(|| wrong_comparison((right, right_type), (left, left_type))),
        };
        if let Some(hint) = hint {
            let name = |of: Option<PgType>| of.map_or("unknown", PgType::name);
            let message =
                format!("operator does not exist: {} {shown} {}", name(left_type), name(right_type));
            self.refuse(message, hint);
        }
    }

    /// Notes a function that SQLite computes from its argument's digits.
    pub(super) fn check_argument(&mut self, function: &str, argument: Option<PgType>) {
        let computes = ["sum", "avg", "total", "round", "abs", "ceil", "floor"].contains(&function);
        if let Some(of) = argument.filter(|of| computes && is_special(*of)) {
            let message = format!("function {function}({}) does not exist", of.name());
            self.refuse(message, "Seconds are extract(epoch FROM x), bytes pg_wal_lsn_diff(a, b).");
        }
    }

    fn refuse(&mut self, message: String, hint: &str) {
        if self.asks_catalog {
            self.refused
                .get_or_insert_with(|| SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint));
        }
    }
}

fn is_special(of: PgType) -> bool {
    matches!(of, PgType::PgLsn | PgType::Timestamptz | PgType::Timestamp | PgType::Interval)
}

fn is_number(of: PgType) -> bool {
    of.is_integer() || of.is_fractional()
}

fn wrong_sum(of: Option<PgType>) -> Option<&'static str> {
    is_special(of?).then_some(
        "Give the operands their types, as in a::pg_lsn - b::pg_lsn or now() - a::timestamptz; seconds are \
         extract(epoch FROM x).",
    )
}

/// What is wrong with comparing the first with the second.
fn wrong_comparison(
    (left, left_type): (&Expr<'_>, Option<PgType>),
    (right, right_type): (&Expr<'_>, Option<PgType>),
) -> Option<&'static str> {
    let (of, other) = (left_type?, right_type?);
    let is_time = |of: PgType| matches!(of, PgType::Timestamptz | PgType::Timestamp);
    match of {
        PgType::Interval if is_number(other) || is_time(other) || other == PgType::PgLsn => Some(
            "Compare with an interval, as in x > interval '5 s', or take seconds: extract(epoch FROM x).",
        ),
        PgType::PgLsn if is_number(other) || is_time(other) => {
            Some("Compare with a position, as in x > '0/3000000'; bytes are pg_wal_lsn_diff(a, b).")
        }
        of if is_time(of) && is_number(other) => Some(
            "Compare with a time, as in x > now() - interval '5 min'; seconds are extract(epoch FROM x).",
        ),
        PgType::Bool if other == PgType::Text && !is_column(right) => Some("Write true or false."),
        // a column's affinity makes numbers of digits; an expression has none
        of if is_number(of) && is_text(other) && !(is_column(left) && matches!(right, Expr::Literal(_))) => {
            Some("Cast one of them, as in x::int8.")
        }
        _ => None,
    }
}

fn is_text(of: PgType) -> bool {
    matches!(of, PgType::Text | PgType::Name | PgType::Varchar)
}

fn is_column(expression: &Expr<'_>) -> bool {
    match expression {
        Expr::Id(_) | Expr::Name(_) | Expr::Qualified(..) | Expr::DoublyQualified(..) => true,
        Expr::Parenthesized(inner) => matches!(inner.as_slice(), [inner] if is_column(inner)),
        Expr::Collate(inner, _) => is_column(inner),
        _ => false,
    }
}
