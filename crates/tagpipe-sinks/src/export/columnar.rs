//! Rows as Arrow's columns: what Parquet and Arrow files are made of.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{
    Date32Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tagpipe_core::tabular::{Column, Kind, Row, Table, Value};

use super::{ExportError, FileWriter};

/// A library's writer of one file of columns.
pub(super) trait BatchWriter<'a>: Sized {
    /// Begins a file with this schema.
    fn begin(out: &'a mut (dyn Write + Send), schema: &SchemaRef) -> Result<Self, ExportError>;

    /// Adds rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError>;

    /// Writes what is left.
    fn finish(self) -> Result<(), ExportError>;
}

/// Writes a file of columns, which has the schema of its one table.
pub(super) enum ColumnarWriter<'a, W> {
    /// For its table.
    Waiting(&'a mut (dyn Write + Send)),
    Writing {
        writer: W,
        schema: SchemaRef,
        columns: &'static [Column],
    },
    /// Another table came, or the first one could not be begun.
    Refused,
}

impl<'a, W: BatchWriter<'a>> FileWriter for ColumnarWriter<'a, W> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        let ColumnarWriter::Waiting(out) = std::mem::replace(self, ColumnarWriter::Refused) else {
            return Err(ExportError::Writing("a file of columns takes one table".into()));
        };
        let schema = schema(table);
        *self = ColumnarWriter::Writing {
            writer: W::begin(out, &schema)?,
            schema,
            columns: table.columns,
        };
        Ok(())
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        match self {
            ColumnarWriter::Writing {
                writer,
                schema,
                columns,
            } => writer.write(&record_batch(schema, columns, rows)?),
            ColumnarWriter::Waiting(_) | ColumnarWriter::Refused => Err(without_table()),
        }
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        match *self {
            ColumnarWriter::Writing { writer, .. } => writer.finish(),
            ColumnarWriter::Waiting(_) | ColumnarWriter::Refused => Err(without_table()),
        }
    }
}

fn without_table() -> ExportError {
    ExportError::Writing("a file of columns has no table".into())
}

/// Arrow's schema of `table`. What its columns mean stands in their metadata.
fn schema(table: &Table) -> SchemaRef {
    let fields: Vec<Field> = table.columns.iter().map(field).collect();
    let metadata = [("table", table.name), ("meaning", table.meaning)];
    Arc::new(Schema::new(fields).with_metadata(metadata))
}

fn field(column: &Column) -> Field {
    let mut metadata = vec![("meaning", column.meaning), ("kind", column.kind.as_str())];
    metadata.extend(column.unit.map(|unit| ("unit", unit)));
    let metadata: arrow_schema::Metadata = metadata.into_iter().collect();
    Field::new(column.name, data_type(column.kind), column.nullable).with_metadata(metadata)
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Json => DataType::Utf8,
        Kind::Integer => DataType::Int64,
        Kind::Real => DataType::Float64,
        Kind::Date => DataType::Date32,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// `rows` of a table with this schema.
fn record_batch(schema: &SchemaRef, columns: &[Column], rows: &[Row]) -> Result<RecordBatch, ExportError> {
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(place, column)| array(column, rows, place))
        .collect::<Result<_, ExportError>>()?;
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| ExportError::Writing(error.to_string()))
}

fn array(column: &Column, rows: &[Row], place: usize) -> Result<ArrayRef, ExportError> {
    let misplaced = |value: &Value| {
        ExportError::Writing(format!(
            "`{}` holds {}, and here is {value:?}",
            column.name,
            column.kind.as_str()
        ))
    };
    /// Makes an array of the values of one kind. One of another kind is no null: it would be lost without a word.
    macro_rules! collect {
        ($builder:expr, $($pattern:pat => $value:expr),+) => {{
            let mut builder = $builder;
            for row in rows {
                match &row[place] {
                    $($pattern => builder.append_value($value),)+
                    Value::Null => builder.append_null(),
                    other => return Err(misplaced(other)),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match column.kind {
        Kind::Text | Kind::Json => {
            collect!(StringBuilder::new(), Value::Text(text) | Value::Json(text) => text)
        }
        Kind::Integer => collect!(Int64Builder::new(), Value::Integer(number) => *number),
        Kind::Real => collect!(Float64Builder::new(), Value::Real(number) => *number),
        Kind::Date => collect!(Date32Builder::new(), Value::Date(date) => date.0),
        Kind::Timestamp => collect!(
            TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            Value::Timestamp(moment) => moment.0
        ),
    })
}

#[cfg(test)]
mod tests {
    use tagpipe_core::tabular::Date;

    use super::*;

    const COLUMN: Column = Column {
        name: "total",
        kind: Kind::Integer,
        nullable: true,
        unit: None,
        meaning: "copies",
    };

    #[test]
    fn a_value_of_another_kind_is_no_null() {
        let rows: Vec<Row> = vec![vec![Value::Integer(3)], vec![Value::Null]];
        let array = array(&COLUMN, &rows, 0).unwrap();
        assert_eq!((array.len(), array.null_count()), (2, 1));
        let rows: Vec<Row> = vec![vec![Value::Date(Date(1))]];
        assert!(super::array(&COLUMN, &rows, 0).is_err());
    }
}
