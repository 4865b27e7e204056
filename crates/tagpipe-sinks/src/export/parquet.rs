//! Parquet: compressed columns with statistics, for DuckDB, pandas, Spark and their like.

use std::io::Write;
use std::path::Path;

use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tagpipe_core::tabular::{Column, Row, Table};

use super::columnar::{record_batch, schema};
use super::{ExportError, FileWriter, Format};

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
        _scratch: &Path,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        Ok(Box::new(ParquetWriter::Waiting(out)))
    }
}

enum ParquetWriter<'a> {
    /// For its table.
    Waiting(&'a mut (dyn Write + Send)),
    Writing {
        writer: Box<ArrowWriter<&'a mut (dyn Write + Send)>>,
        schema: SchemaRef,
        columns: &'static [Column],
    },
    Begun,
}

impl FileWriter for ParquetWriter<'_> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        let ParquetWriter::Waiting(out) = std::mem::replace(self, ParquetWriter::Begun) else {
            return Err(ExportError::Writing("a Parquet file takes one table".into()));
        };
        let schema = schema(table);
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties()?)).map_err(failed)?;
        *self = ParquetWriter::Writing {
            writer: Box::new(writer),
            schema,
            columns: table.columns,
        };
        Ok(())
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        if let ParquetWriter::Writing {
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
        if let ParquetWriter::Writing { writer, .. } = *self {
            writer.close().map_err(failed)?;
        }
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
