//! JSON Lines: an object for each row, one on each line.

use std::io::Write;

use tagpipe_core::tabular::{Column, Row, Table, Value};

use super::{ExportError, FileWriter, Format, Scratch};

#[derive(Debug)]
pub(super) struct JsonLines;

impl Format for JsonLines {
    fn name(&self) -> &'static str {
        "jsonl"
    }

    fn endings(&self) -> &'static [&'static str] {
        &["jsonl", "ndjson"]
    }

    fn meaning(&self) -> &'static str {
        "an object on each line, for programs that read line by line"
    }

    fn is_text(&self) -> bool {
        true
    }

    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        _scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        Ok(Box::new(JsonLinesWriter { out, columns: &[] }))
    }
}

struct JsonLinesWriter<'a> {
    out: &'a mut (dyn Write + Send),
    columns: &'static [Column],
}

impl FileWriter for JsonLinesWriter<'_> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        self.columns = table.columns;
        Ok(())
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        for row in rows {
            write_object(self.out, self.columns, row)?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        Ok(())
    }
}

/// Writes a row as an object with a member for each column, in order. Days and moments are texts, JSON stands in it as it
/// is.
pub(super) fn write_object(
    out: &mut (dyn Write + Send),
    columns: &[Column],
    row: &[Value],
) -> Result<(), ExportError> {
    for (place, (column, value)) in columns.iter().zip(row).enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        write!(out, "{before}\"{}\":", column.name)?;
        match value {
            Value::Null => out.write_all(b"null")?,
            Value::Text(text) => serde_json::to_writer(&mut *out, text).map_err(std::io::Error::from)?,
            Value::Json(document) => out.write_all(document.as_bytes())?,
            Value::Integer(number) => write!(out, "{number}")?,
            Value::Real(number) => serde_json::to_writer(&mut *out, number).map_err(std::io::Error::from)?,
            Value::Date(date) => write!(out, "\"{date}\"")?,
            Value::Timestamp(moment) => write!(out, "\"{moment}\"")?,
        }
    }
    out.write_all(b"}")?;
    Ok(())
}
