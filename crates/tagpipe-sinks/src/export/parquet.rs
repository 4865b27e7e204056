//! Parquet: compressed columns with statistics, for DuckDB, pandas, Spark and their like.

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::columnar::{BatchWriter, ColumnarWriter};
use super::{ExportError, FileWriter, Format, Scratch};

/// Rows that are held, compressed, until they are written together. Readers like larger ones better; memory does not.
const ROW_GROUP: usize = 65_536;

#[derive(Debug)]
pub(super) struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn endings(&self) -> &'static [&'static str] {
        &["parquet", "pq"]
    }

    fn meaning(&self) -> &'static str {
        "compressed columns with types, for DuckDB, pandas, Spark"
    }

    fn why_not_compressed(&self) -> Option<&'static str> {
        Some("a Parquet file is compressed inside")
    }

    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        _scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        Ok(Box::new(ColumnarWriter::<ArrowWriter<_>>::Waiting(out)))
    }
}

impl<'a> BatchWriter<'a> for ArrowWriter<&'a mut (dyn Write + Send)> {
    fn begin(out: &'a mut (dyn Write + Send), schema: &SchemaRef) -> Result<Self, ExportError> {
        ArrowWriter::try_new(out, Arc::clone(schema), Some(properties()?)).map_err(failed)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        ArrowWriter::write(self, batch).map_err(failed)
    }

    fn finish(self) -> Result<(), ExportError> {
        self.close().map_err(failed)?;
        Ok(())
    }
}

fn properties() -> Result<WriterProperties, ExportError> {
    let level = ZstdLevel::try_new(3).map_err(failed)?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        // Not the library's version, with which the same rows would become other bytes.
        .set_created_by("tagpipe".to_owned())
        .build())
}

fn failed(error: ParquetError) -> ExportError {
    match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => ExportError::from(*error),
            Err(other) => ExportError::Writing(other.to_string()),
        },
        other => ExportError::Writing(other.to_string()),
    }
}
