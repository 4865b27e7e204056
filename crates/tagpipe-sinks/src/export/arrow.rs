//! Arrow IPC files, also known as Feather version 2: columns as they stand in memory, to be mapped rather than read.

use std::io::Write;

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter as IpcWriter;
use arrow_schema::{ArrowError, SchemaRef};

use super::columnar::{BatchWriter, ColumnarWriter};
use super::{ExportError, FileWriter, Format, Scratch};

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
        _scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        Ok(Box::new(ColumnarWriter::<IpcWriter<_>>::Waiting(out)))
    }
}

impl<'a> BatchWriter<'a> for IpcWriter<&'a mut (dyn Write + Send)> {
    fn begin(out: &'a mut (dyn Write + Send), schema: &SchemaRef) -> Result<Self, ExportError> {
        IpcWriter::try_new(out, schema).map_err(failed)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        IpcWriter::write(self, batch).map_err(failed)
    }

    fn finish(mut self) -> Result<(), ExportError> {
        IpcWriter::finish(&mut self).map_err(failed)
    }
}

fn failed(error: ArrowError) -> ExportError {
    match error {
        ArrowError::IoError(_, error) => ExportError::from(error),
        other => ExportError::Writing(other.to_string()),
    }
}
