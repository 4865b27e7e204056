//! CSV by RFC 4180, with a header, UTF-8 without a mark, and bare line ends.
//!
//! A missing value is an empty field, an empty text two quotes: `,,` and `,"",`. Texts stand as they are: one that begins with
//! `=` is a text to whoever reads CSV, and a formula only to a spreadsheet that is let guess.

use std::io::Write;

use tagpipe_core::tabular::{Row, Table, Value};

use super::{ExportError, FileWriter, Format, Scratch};

#[derive(Debug)]
pub(super) struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn endings(&self) -> &'static [&'static str] {
        &["csv"]
    }

    fn meaning(&self) -> &'static str {
        "for everything; an empty field is null, \"\" an empty text"
    }

    fn is_text(&self) -> bool {
        true
    }

    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        _scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        Ok(Box::new(CsvWriter {
            out,
            line: String::new(),
        }))
    }
}

struct CsvWriter<'a> {
    out: &'a mut (dyn Write + Send),
    line: String,
}

impl FileWriter for CsvWriter<'_> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        let names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        writeln!(self.out, "{}", names.join(","))?;
        Ok(())
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        for row in rows {
            self.line.clear();
            for (place, value) in row.iter().enumerate() {
                if place > 0 {
                    self.line.push(',');
                }
                field(&mut self.line, value);
            }
            self.line.push('\n');
            self.out.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        Ok(())
    }
}

fn field(line: &mut String, value: &Value) {
    use std::fmt::Write as _;
    // Writing to a text cannot fail.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Text(text) | Value::Json(text) => {
            quoted(line, text);
            Ok(())
        }
        Value::Integer(number) => write!(line, "{number}"),
        Value::Real(number) => write!(line, "{number}"),
        Value::Date(date) => write!(line, "{date}"),
        Value::Timestamp(moment) => write!(line, "{moment}"),
    };
}

fn quoted(line: &mut String, text: &str) {
    if !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for (place, piece) in text.split('"').enumerate() {
        if place > 0 {
            line.push_str("\"\"");
        }
        line.push_str(piece);
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_another_reader_reads_them() {
        let texts = [
            "plain",
            "a,b",
            "say \"x\"",
            "two\nlines",
            "\r",
            "=1+1",
            "",
            "\"",
            " padded ",
        ];
        let mut line = String::new();
        for (place, text) in texts.iter().enumerate() {
            if place > 0 {
                line.push(',');
            }
            field(&mut line, &Value::Text((*text).to_owned()));
        }
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(line.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        assert_eq!(record.iter().collect::<Vec<_>>(), texts);
    }

    #[test]
    fn null_and_an_empty_text_differ() {
        let mut line = String::new();
        field(&mut line, &Value::Null);
        line.push(',');
        field(&mut line, &Value::Text(String::new()));
        assert_eq!(line, ",\"\"");
    }
}
