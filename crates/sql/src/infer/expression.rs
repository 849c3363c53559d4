use sqlite3_parser::ast::{Expr, Literal, Operator, UnaryOperator};

use super::functions::{Returns, argument, builtin};
use super::scope::unquoted;
use super::statement::Walk;
use crate::value::PgType;

impl Walk<'_> {
    /// The type of an expression. A parameter in it gets a type from where it stands; `expected` is what
    /// the surroundings say of this one.
    pub(super) fn expression(&mut self, expression: &Expr<'_>, expected: Option<PgType>) -> Option<PgType> {
        match expression {
            Expr::Variable(name) => self.parameter(name, expected),
            Expr::Literal(literal) => literal_type(literal),
            Expr::Id(id) => self.column(None, id.0).or_else(|| truth(id.0)),
            Expr::Name(name) => self.column(None, name.0),
            Expr::Qualified(table, column) | Expr::DoublyQualified(_, table, column) => {
                self.column(Some(table.0), column.0)
            }
            Expr::Parenthesized(inner) => match inner.as_slice() {
                [inner] => self.expression(inner, expected),
                several => {
                    for inner in several {
                        self.expression(inner, None);
                    }
                    None
                }
            },
            Expr::Collate(inner, _) => self.expression(inner, expected),
            Expr::Cast { expr, type_name } => {
                let pg_type =
                    type_name.as_ref().map(|stated| PgType::from_declaration(&unquoted(stated.name)));
                self.expression(expr, pg_type);
                pg_type
            }
            Expr::Unary(operator, inner) => match operator {
                UnaryOperator::Not => {
                    self.expression(inner, Some(PgType::Bool));
                    Some(PgType::Bool)
                }
                UnaryOperator::BitwiseNot => {
                    self.expression(inner, Some(PgType::Int8));
                    Some(PgType::Int8)
                }
                UnaryOperator::Negative | UnaryOperator::Positive => self.expression(inner, expected),
            },
            Expr::Binary(left, operator, right) => self.binary(left, *operator, right),
            Expr::FunctionCall { name, args, filter_over, .. } => {
                if let Some(filter) = filter_over.as_ref().and_then(|tail| tail.filter_clause) {
                    self.expression(filter, Some(PgType::Bool));
                }
                self.call(&unquoted(name.0).to_ascii_lowercase(), args.unwrap_or_default())
            }
            Expr::FunctionCallStar { name, .. } => self.call(&unquoted(name.0).to_ascii_lowercase(), &[]),
            Expr::Case { base, when_then_pairs, else_expr } => {
                self.case(*base, when_then_pairs, *else_expr, expected)
            }
            Expr::Subquery(select) => self.select(select, &[]).first().and_then(|(_, pg_type)| *pg_type),
            other => {
                self.predicate(other);
                Some(PgType::Bool)
            }
        }
    }

    // what is true or false
    fn predicate(&mut self, expression: &Expr<'_>) {
        match expression {
            Expr::Between { lhs, start, end, .. } => {
                let first = self.expression(lhs, None);
                let least = self.expression(start, first);
                let known = least.or(first);
                let most = self.expression(end, known);
                self.check_operator(Operator::GreaterEquals, (lhs, first), (start, least));
                self.check_operator(Operator::LessEquals, (lhs, first), (end, most));
                if is_parameter(lhs) {
                    self.expression(lhs, known);
                }
            }
            Expr::InList { lhs, rhs, .. } => {
                let mut known = self.expression(lhs, None);
                for item in rhs.unwrap_or_default() {
                    let found = self.expression(item, known);
                    self.check_operator(Operator::Equals, (lhs, known), (item, found));
                    known = known.or(found);
                }
                if is_parameter(lhs) {
                    self.expression(lhs, known);
                }
            }
            Expr::InSelect { lhs, rhs, .. } => {
                let known = self.select(rhs, &[]).first().and_then(|(_, pg_type)| *pg_type);
                self.expression(lhs, known);
            }
            Expr::InTable { lhs, .. } | Expr::IsNull(lhs) | Expr::NotNull(lhs) => {
                self.expression(lhs, None);
            }
            Expr::Like { lhs, rhs, escape, .. } => {
                self.expression(lhs, Some(PgType::Text));
                self.expression(rhs, Some(PgType::Text));
                if let Some(escape) = escape {
                    self.expression(escape, Some(PgType::Text));
                }
            }
            Expr::Exists(select) => drop(self.select(select, &[])),
            _ => {}
        }
    }

    fn binary(&mut self, left: &Expr<'_>, operator: Operator, right: &Expr<'_>) -> Option<PgType> {
        use Operator as Op;
        let fixed = match operator {
            Op::And | Op::Or => Some((PgType::Bool, PgType::Bool)),
            Op::Concat => Some((PgType::Text, PgType::Text)),
            Op::BitwiseAnd | Op::BitwiseOr | Op::LeftShift | Op::RightShift => {
                Some((PgType::Int8, PgType::Int8))
            }
            _ => None,
        };
        if let Some((operand, result)) = fixed {
            self.expression(left, Some(operand));
            self.expression(right, Some(operand));
            return Some(result);
        }
        if matches!(operator, Op::ArrowRight | Op::ArrowRightShift) {
            self.expression(left, Some(PgType::Text));
            self.expression(right, Some(PgType::Text));
            return (operator == Op::ArrowRight).then_some(PgType::Text);
        }
        let known = self.expression(left, None);
        let other = self.expression(right, known.map(widened));
        let known = if is_parameter(left) { self.expression(left, other.map(widened)) } else { known };
        self.check_operator(operator, (left, known), (right, other));
        match operator {
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Modulus => arithmetic(known?, other?),
            _ => Some(PgType::Bool),
        }
    }

    fn call(&mut self, name: &str, arguments: &[Expr<'_>]) -> Option<PgType> {
        let returns = builtin(name);
        let from = match returns {
            Some(Returns::Arguments(from)) => from,
            _ => usize::MAX,
        };
        let mut common = None;
        for (at, item) in arguments.iter().enumerate() {
            let found = self.expression(item, argument(name, at));
            self.check_argument(name, found);
            if at >= from && name != "nullif" || at == 0 && from == 0 {
                common = unified(common, found);
            }
        }
        // parameters among arguments that are of one type
        if from != usize::MAX && common.is_some() {
            for item in arguments.iter().skip(from).filter(|item| is_parameter(item)) {
                self.expression(item, common.map(widened));
            }
        }
        match returns {
            Some(Returns::Type(pg_type)) => Some(pg_type),
            Some(Returns::Arguments(_)) => {
                if name == "sum" {
                    common.map(widened)
                } else {
                    common
                }
            }
            None => self.function_type(name),
        }
    }

    fn case(
        &mut self,
        base: Option<&Expr<'_>>,
        pairs: &[(Expr<'_>, Expr<'_>)],
        otherwise: Option<&Expr<'_>>,
        expected: Option<PgType>,
    ) -> Option<PgType> {
        let tested = base.and_then(|base| self.expression(base, None));
        let mut common = None;
        for (when, then) in pairs {
            let found = self.expression(when, if base.is_some() { tested } else { Some(PgType::Bool) });
            if let Some(base) = base {
                self.check_operator(Operator::Equals, (base, tested), (when, found));
            }
            common = unified(common, self.expression(then, expected));
        }
        if let Some(otherwise) = otherwise {
            common = unified(common, self.expression(otherwise, expected));
        }
        common
    }
}

fn is_parameter(expression: &Expr<'_>) -> bool {
    match expression {
        Expr::Variable(_) => true,
        Expr::Parenthesized(inner) => matches!(inner.as_slice(), [inner] if is_parameter(inner)),
        Expr::Unary(_, inner) | Expr::Collate(inner, _) => is_parameter(inner),
        _ => false,
    }
}

/// What a parameter beside a small literal is: any number of its kind.
fn widened(pg_type: PgType) -> PgType {
    if pg_type.is_integer() { PgType::Int8 } else { pg_type }
}

fn arithmetic(left: PgType, right: PgType) -> Option<PgType> {
    match (left, right) {
        _ if left.is_integer() && right.is_integer() => {
            Some(if left == PgType::Int4 && right == PgType::Int4 { PgType::Int4 } else { PgType::Int8 })
        }
        _ if left.is_fractional() || right.is_fractional() => Some(PgType::Float8),
        _ => None,
    }
}

/// The type that values of both have; what is not known, as NULL, does not count.
pub(super) fn unified(left: Option<PgType>, right: Option<PgType>) -> Option<PgType> {
    let (Some(left), Some(right)) = (left, right) else { return left.or(right) };
    if left == right {
        return Some(left);
    }
    Some(match (left, right) {
        _ if left.is_integer() && right.is_integer() => PgType::Int8,
        _ if (left.is_integer() || left.is_fractional()) && (right.is_integer() || right.is_fractional()) => {
            PgType::Float8
        }
        _ => PgType::Text,
    })
}

// TRUE and FALSE are columns, where there are such; else what they say
fn truth(word: &str) -> Option<PgType> {
    ["true", "false"].iter().any(|truth| word.eq_ignore_ascii_case(truth)).then_some(PgType::Bool)
}

fn literal_type(literal: &Literal<'_>) -> Option<PgType> {
    match literal {
        Literal::Numeric(digits) => Some(match digits.parse::<i64>() {
            Ok(value) if i32::try_from(value).is_ok() => PgType::Int4,
            Ok(_) => PgType::Int8,
            Err(_) if digits.starts_with("0x") || digits.starts_with("0X") => PgType::Int8,
            Err(_) => PgType::Float8,
        }),
        Literal::Blob(_) => Some(PgType::Bytea),
        Literal::Keyword(word) => truth(word),
        Literal::String(_) | Literal::CurrentDate | Literal::CurrentTime | Literal::CurrentTimestamp => {
            Some(PgType::Text)
        }
        Literal::Null => None,
    }
}
