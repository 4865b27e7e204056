//! Rows as JSON arrays: the values of a struct by the place of its field, without the names.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, Formatter};

use crate::dialect::Columns;

/// A JSON array with one array for each row.
///
/// # Panics
/// Where the fields of a row are not `columns`, in their order: values would stand in the wrong column.
pub(crate) fn by_place<T: Serialize>(columns: Columns, rows: &[T]) -> String {
    let mut json = Vec::with_capacity(128 * (rows.len() + 1));
    let mut serializer = Serializer::with_formatter(&mut json, ByPlace::new(columns));
    rows.serialize(&mut serializer)
        .expect("the fields of a row are the columns of its statement");
    String::from_utf8(json).expect("JSON is UTF-8")
}

/// Writes the objects that stand in the outermost array as arrays, and everything else as usual.
struct ByPlace {
    columns: Columns,
    /// Arrays and objects that are open.
    depth: usize,
    /// The place of the next field.
    place: usize,
    is_in_name: bool,
}

/// What is open within a row and outside of its values.
const ROW: usize = 2;

impl ByPlace {
    fn new(columns: Columns) -> ByPlace {
        ByPlace {
            columns,
            depth: 0,
            place: 0,
            is_in_name: false,
        }
    }
}

impl Formatter for ByPlace {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"]")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.depth == ROW {
            self.place = 0;
            writer.write_all(b"[")
        } else {
            writer.write_all(b"{")
        }
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.depth + 1 != ROW {
            return writer.write_all(b"}");
        }
        if self.place != self.columns.len() {
            return Err(io::Error::other("a row has fewer fields than columns"));
        }
        writer.write_all(b"]")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.is_in_name = self.depth == ROW;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        if self.is_in_name {
            self.is_in_name = false;
            self.place += 1;
        }
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.depth == ROW {
            Ok(())
        } else {
            writer.write_all(b":")
        }
    }

    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_in_name {
            Ok(())
        } else {
            writer.write_all(b"\"")
        }
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_in_name {
            Ok(())
        } else {
            writer.write_all(b"\"")
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        if !self.is_in_name {
            return writer.write_all(text.as_bytes());
        }
        match self.columns.get(self.place) {
            Some((column, _)) if *column == text => Ok(()),
            _ => Err(io::Error::other(format!(
                "`{text}` is not the column at its place"
            ))),
        }
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        if self.is_in_name {
            return Err(io::Error::other("a column's name needs no escape"));
        }
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::dialect::ColumnType;

    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        counts: BTreeMap<&'static str, i64>,
        rank: Option<i64>,
    }

    const COLUMNS: Columns = &[
        ("name", ColumnType::Text),
        ("counts", ColumnType::Json),
        ("rank", ColumnType::Int),
    ];

    fn rows() -> Vec<Row> {
        vec![
            Row {
                name: "a \"b\"\n{[",
                counts: BTreeMap::from([("10", 2), ("9.5", 0)]),
                rank: None,
            },
            Row {
                name: "",
                counts: BTreeMap::new(),
                rank: Some(-3),
            },
        ]
    }

    #[test]
    fn values_stand_at_their_columns_places() {
        let parsed: serde_json::Value = serde_json::from_str(&by_place(COLUMNS, &rows())).unwrap();
        assert_eq!(
            parsed,
            json!([["a \"b\"\n{[", {"10": 2, "9.5": 0}, null], ["", {}, -3]])
        );
        assert_eq!(by_place::<Row>(COLUMNS, &[]), "[]");
    }

    #[test]
    #[should_panic(expected = "the fields of a row are the columns of its statement")]
    fn another_order_is_refused() {
        const OTHER: Columns = &[COLUMNS[1], COLUMNS[0], COLUMNS[2]];
        by_place(OTHER, &rows());
    }

    #[test]
    #[should_panic(expected = "the fields of a row are the columns of its statement")]
    fn a_column_more_is_refused() {
        const MORE: Columns = &[COLUMNS[0], COLUMNS[1], COLUMNS[2], ("more", ColumnType::Int)];
        by_place(MORE, &rows());
    }
}
