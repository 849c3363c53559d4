use crate::catalog::rewrite::{Token, tokens};

/// A CHECK of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// Behind CONSTRAINT.
    pub(super) name: Option<String>,
    /// The column in whose definition it stands.
    pub(super) column: Option<String>,
    /// Between its parentheses.
    pub(super) expression: String,
}

/// The CHECKs in the text of a CREATE TABLE; SQLite keeps them nowhere else.
pub(super) fn checks(sql: &str) -> Vec<Check> {
    let tokens = tokens(sql);
    let mut found = Vec::new();
    let (mut depth, mut column, mut name) = (0_usize, None, None);
    let mut begins = false;
    for (index, token) in tokens.iter().enumerate() {
        let word = token.text.to_ascii_lowercase();
        match (word.as_str(), depth) {
            ("check", 1) => {
                if let Some(expression) = in_parentheses(sql, tokens.get(index + 1..).unwrap_or_default()) {
                    found.push(Check { name: name.take(), column: column.clone(), expression });
                }
            }
            ("constraint", 1) => name = tokens.get(index + 1).map(|next| unquoted(next.text)),
            (",", 1) => (column, name) = (None, None),
            _ if begins => column = Some(unquoted(token.text)),
            _ => {}
        }
        let table_constraint =
            ["constraint", "check", "primary", "unique", "foreign"].contains(&word.as_str());
        if begins && table_constraint {
            column = None;
        }
        begins = matches!((token.text, depth), ("(", 0) | (",", 1));
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

fn in_parentheses(sql: &str, tokens: &[Token<'_>]) -> Option<String> {
    let open = tokens.first().filter(|token| token.text == "(")?;
    let mut depth = 0_i32;
    for token in tokens {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return sql.get(open.end..token.start).map(|text| text.trim().to_owned());
        }
    }
    None
}

fn unquoted(text: &str) -> String {
    text.trim_matches(|c| "\"`[]'".contains(c)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_check_with_its_column_and_name() {
        let found = checks(
            "CREATE TABLE t(a int check (a > 0 and a in (1,2)), \"b c\" text DEFAULT ('check (1)') CONSTRAINT named CHECK(b <> ')'),\n\
             -- check (no)\n CHECK (a < b), constraint last check (1))",
        );
        let check = |name: Option<&str>, column: Option<&str>, expression: &str| Check {
            name: name.map(str::to_owned),
            column: column.map(str::to_owned),
            expression: expression.to_owned(),
        };
        assert_eq!(
            found,
            [
                check(None, Some("a"), "a > 0 and a in (1,2)"),
                check(Some("named"), Some("b c"), "b <> ')'"),
                check(None, None, "a < b"),
                check(Some("last"), None, "1"),
            ]
        );
    }
}
