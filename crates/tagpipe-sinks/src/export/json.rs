//! JSON: one array with an object for each row, one on each line.

use std::io::Write;

use tagpipe_core::tabular::{Column, Row, Table};

use super::jsonl::write_object;
use super::{ExportError, FileWriter, Format, Scratch};

#[derive(Debug)]
pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn endings(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn meaning(&self) -> &'static str {
        "one array of objects"
    }

    fn is_text(&self) -> bool {
        true
    }

    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        _scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        Ok(Box::new(JsonWriter {
            out,
            columns: &[],
            has_rows: false,
        }))
    }
}

struct JsonWriter<'a> {
    out: &'a mut (dyn Write + Send),
    columns: &'static [Column],
    has_rows: bool,
}

impl FileWriter for JsonWriter<'_> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        self.columns = table.columns;
        self.out.write_all(b"[")?;
        Ok(())
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        for row in rows {
            self.out.write_all(if self.has_rows { b",\n" } else { b"\n" })?;
            self.has_rows = true;
            write_object(self.out, self.columns, row)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        self.out.write_all(b"\n]\n")?;
        Ok(())
    }
}
