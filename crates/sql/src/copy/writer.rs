use super::options::CopyFormat;

/// Appends one row with its newline. `None` is NULL; names say which column FORCE_QUOTE is about.
pub(crate) fn write_row<'a>(
    format: &CopyFormat,
    fields: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    out: &mut Vec<u8>,
) {
    for (at, (name, field)) in fields.enumerate() {
        if at > 0 {
            out.push(format.delimiter);
        }
        match field {
            None => out.extend_from_slice(&format.null),
            Some(field) if format.csv => csv_field(format, field, format.force_quote.contain(name), out),
            Some(field) => text_field(format, field, out),
        }
    }
    out.push(b'\n');
}

fn text_field(format: &CopyFormat, field: &[u8], out: &mut Vec<u8>) {
    for &byte in field {
        let escaped = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            byte if byte == format.delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
}

fn csv_field(format: &CopyFormat, field: &[u8], forced: bool, out: &mut Vec<u8>) {
    let special = |b: &u8| *b == format.delimiter || *b == format.quote || matches!(b, b'\r' | b'\n');
    // a line of \. alone would end the data, and what looks like NULL would be read as NULL
    if !(forced || field == format.null.as_slice() || field == b"\\." || field.iter().any(special)) {
        return out.extend_from_slice(field);
    }
    out.push(format.quote);
    for &byte in field {
        if byte == format.quote || byte == format.escape {
            out.push(format.escape);
        }
        out.push(byte);
    }
    out.push(format.quote);
}

#[cfg(test)]
mod tests {
    use super::super::options::CopyStatement;
    use super::*;
    use crate::lexer::split;

    fn written(options: &str, fields: &[Option<&str>]) -> String {
        let text = format!("copy t to stdout {options}");
        let format = CopyStatement::parse(&text, &split(&text)[0]).unwrap().format;
        let mut out = vec![];
        write_row(&format, fields.iter().map(|field| ("c", field.map(str::as_bytes))), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_are_postgresqls() {
        assert_eq!(written("", &[Some("a\tb\\"), None, Some("")]), "a\\tb\\\\\t\\N\t\n");
        assert_eq!(written("csv", &[Some("a,\"b"), None, Some(""), Some("x")]), "\"a,\"\"b\",,\"\",x\n");
        assert_eq!(written("csv force quote *", &[Some("x"), None]), "\"x\",\n");
        assert_eq!(written("(delimiter '|', null '-')", &[Some("a|b"), None]), "a\\|b|-\n");
    }
}
