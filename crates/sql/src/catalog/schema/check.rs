use crate::catalog::rewrite::{Token, tokens};

/// A CHECK of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// Behind CONSTRAINT.
    pub(super) name: Option<String>,
    /// Between its parentheses.
    pub(super) expression: String,
}

/// The CHECKs in the text of a CREATE TABLE; SQLite keeps them nowhere else.
pub(super) fn checks(sql: &str) -> Vec<Check> {
    let tokens = tokens(sql);
    let mut found = Vec::new();
    let (mut depth, mut name) = (0_usize, None);
    for (index, token) in tokens.iter().enumerate() {
        let word = token.text.to_ascii_lowercase();
        match (word.as_str(), depth) {
            ("check", 1) => {
                if let Some(expression) = in_parentheses(sql, tokens.get(index + 1..).unwrap_or_default()) {
                    found.push(Check { name: name.take(), expression });
                }
            }
            ("constraint", 1) => name = tokens.get(index + 1).map(|next| unquoted(next.text)),
            (",", 1) => name = None,
            _ => {}
        }
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
    fn finds_each_check_with_its_name() {
        let found = checks(
            "CREATE TABLE t(a int check (a > 0 and a in (1,2)), \"b c\" text DEFAULT ('check (1)') CONSTRAINT named CHECK(b <> ')'),\n\
             -- check (no)\n CHECK (a < b), constraint last check (1))",
        );
        let check = |name: Option<&str>, expression: &str| Check {
            name: name.map(str::to_owned),
            expression: expression.to_owned(),
        };
        assert_eq!(
            found,
            [
                check(None, "a > 0 and a in (1,2)"),
                check(Some("named"), "b <> ')'"),
                check(None, "a < b"),
                check(Some("last"), "1"),
            ]
        );
    }
}
