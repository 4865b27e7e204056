//! Arrow IPC files, also known as Feather version 2: columns as they stand in memory, to be mapped rather than read.

use std::io::Write;
use std::path::Path;

use arrow_ipc::writer::FileWriter as IpcWriter;
use arrow_schema::{ArrowError, SchemaRef};
use tagpipe_core::tabular::{Column, Row, Table};

use super::columnar::{record_batch, schema};
use super::{ExportError, FileWriter, Format};

#[derive(Debug)]
pub(super) struct Arrow;

impl Format for Arrow {
    fn name(&self) -> &'static str {
        "arrow"
    }

    fn endings(&self) -> &'static [&'static str] {
        &["arrow", "feather", "ipc"]
    }

    fn meaning(&self) -> &'static str {
        "columns as they stand in memory, for pyarrow, Polars, R"
    }

    fn why_not_compressed(&self) -> Option<&'static str> {
        Some("an Arrow file is there to be mapped into memory as it is; Parquet is its compressed sibling")
    }

    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        _scratch: &Path,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        Ok(Box::new(ArrowWriter::Waiting(out)))
    }
}

enum ArrowWriter<'a> {
    /// For its table.
    Waiting(&'a mut (dyn Write + Send)),
    Writing {
        writer: Box<IpcWriter<&'a mut (dyn Write + Send)>>,
        schema: SchemaRef,
        columns: &'static [Column],
    },
    Begun,
}

impl FileWriter for ArrowWriter<'_> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        let ArrowWriter::Waiting(out) = std::mem::replace(self, ArrowWriter::Begun) else {
            return Err(ExportError::Writing("an Arrow file takes one table".into()));
        };
        let schema = schema(table);
        let writer = IpcWriter::try_new(out, &schema).map_err(failed)?;
        *self = ArrowWriter::Writing {
            writer: Box::new(writer),
            schema,
            columns: table.columns,
        };
        Ok(())
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        if let ArrowWriter::Writing {
            writer,
            schema,
            columns,
        } = self
        {
            writer
                .write(&record_batch(schema, columns, rows)?)
                .map_err(failed)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        if let ArrowWriter::Writing { mut writer, .. } = *self {
            writer.finish().map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(error: ArrowError) -> ExportError {
    match error {
        ArrowError::IoError(_, error) => ExportError::from(error),
        other => ExportError::Writing(other.to_string()),
    }
}
