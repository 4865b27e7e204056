//! Excel workbooks: a sheet for each table, with a header that stays in sight.
//!
//! What Excel has no room for: a sheet takes 1,048,576 rows, so a larger table goes on in `NAME (2)`; a cell takes 32,767
//! characters, so a longer text is refused; null and an empty text are both an empty cell; whole numbers of more than 15
//! digits, and days before March 1900, are written as texts, because as numbers they would become others. A text is never a
//! formula.

use std::io::Write;

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format as CellFormat, Workbook, Worksheet, XlsxError};
use tagpipe_core::tabular::{Column, Kind, Row, Table, Value};

use super::scratch::Room;
use super::{ExportError, FileWriter, Format, Scratch};

/// Rows of a sheet, its header included.
const SHEET_ROWS: u32 = 1_048_576;
/// Characters of a cell, in UTF-16 as Excel counts them.
const CELL_CHARACTERS: usize = 32_767;
/// Up to here Excel keeps every digit of a number.
const EXACT: u64 = 999_999_999_999_999;
/// Bytes that may wait in the library's buffers.
const WAITING: u64 = 1 << 20;
/// 1970-01-01 as Excel counts days.
const DAYS_TO_1970: i64 = 25_569;
/// 1900-03-01: Excel takes the day before for a 29th of February, which that year did not have.
const FIRST_TRUE_DAY: i64 = 61;
const US_A_DAY: i64 = 86_400_000_000;

#[derive(Debug)]
pub(super) struct Excel;

impl Format for Excel {
    fn name(&self) -> &'static str {
        "xlsx"
    }

    fn endings(&self) -> &'static [&'static str] {
        &["xlsx"]
    }

    fn meaning(&self) -> &'static str {
        "Excel; tables become sheets of one file"
    }

    fn takes_many_tables(&self) -> bool {
        true
    }

    fn why_not_compressed(&self) -> Option<&'static str> {
        Some("an Excel file is compressed inside")
    }

    fn begin<'a>(
        &self,
        out: &'a mut (dyn Write + Send),
        scratch: &Scratch,
    ) -> Result<Box<dyn FileWriter + 'a>, ExportError> {
        let mut workbook = Workbook::new();
        let folder = scratch.folder()?;
        // Rows go to files there until the workbook is packed.
        workbook.set_tempdir(folder).map_err(failed)?;
        // Else the time of writing, with which the same rows would become other bytes.
        let created = ExcelDateTime::from_ymd(2000, 1, 1).map_err(failed)?;
        workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
        Ok(Box::new(ExcelWriter {
            out,
            room: Room::in_folder(folder)?,
            workbook,
            sheet_rows: SHEET_ROWS,
            header: CellFormat::new().set_bold(),
            date: CellFormat::new().set_num_format("yyyy-mm-dd"),
            moment: CellFormat::new().set_num_format("yyyy-mm-dd hh:mm:ss.000"),
            under_way: None,
        }))
    }
}

struct ExcelWriter<'a> {
    out: &'a mut (dyn Write + Send),
    /// Where rows go until the workbook is packed.
    room: Room,
    workbook: Workbook,
    sheet_rows: u32,
    header: CellFormat,
    date: CellFormat,
    moment: CellFormat,
    under_way: Option<UnderWay>,
}

/// The table that is being written.
struct UnderWay {
    table: &'static Table,
    /// Number of its sheet in the workbook.
    sheet: usize,
    /// How many sheets it has by now.
    sheets: u32,
    next_row: u32,
}

impl FileWriter for ExcelWriter<'_> {
    fn table(&mut self, table: &'static Table) -> Result<(), ExportError> {
        self.add_sheet(table, 1)
    }

    fn rows(&mut self, rows: &[Row]) -> Result<(), ExportError> {
        // The library has no error for a row that cannot be written to its file, and panics.
        self.room
            .require(rows.iter().flatten().map(most_bytes).sum::<u64>() + WAITING)?;
        for row in rows {
            let Some(under_way) = &self.under_way else {
                return Ok(());
            };
            if under_way.next_row == self.sheet_rows {
                let (table, sheets) = (under_way.table, under_way.sheets);
                self.add_sheet(table, sheets + 1)?;
            }
            self.add_row(row)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        self.workbook.save_to_writer(self.out).map_err(failed)
    }
}

impl ExcelWriter<'_> {
    fn add_sheet(&mut self, table: &'static Table, number: u32) -> Result<(), ExportError> {
        let name = match number {
            1 => table.name.to_owned(),
            number => format!("{} ({number})", table.name),
        };
        let at = self.workbook.worksheets().len();
        let sheet = self
            .workbook
            .add_worksheet_with_constant_memory()
            .map_err(failed)?;
        sheet.set_name(name).map_err(failed)?;
        sheet.set_freeze_panes(1, 0).map_err(failed)?;
        for (place, column) in (0..).zip(table.columns) {
            let width = width(column);
            sheet.set_column_width(place, width).map_err(failed)?;
            sheet
                .write_string_with_format(0, place, column.name, &self.header)
                .map_err(failed)?;
        }
        self.under_way = Some(UnderWay {
            table,
            sheet: at,
            sheets: number,
            next_row: 1,
        });
        Ok(())
    }

    fn add_row(&mut self, row: &Row) -> Result<(), ExportError> {
        let Some(under_way) = &mut self.under_way else {
            return Ok(());
        };
        let sheet = self
            .workbook
            .worksheet_from_index(under_way.sheet)
            .map_err(failed)?;
        for ((place, column), value) in (0..).zip(under_way.table.columns).zip(row) {
            let cell = (under_way.next_row, place);
            match value {
                Value::Null => {}
                Value::Text(text) | Value::Json(text) => {
                    write_text(sheet, cell, text, under_way.table, column)?
                }
                Value::Integer(number) if !is_exact_in_excel(*number) => {
                    write_text(sheet, cell, &number.to_string(), under_way.table, column)?;
                }
                Value::Integer(number) => {
                    sheet
                        .write_number(cell.0, cell.1, *number as f64)
                        .map_err(failed)?;
                }
                Value::Real(number) => {
                    sheet.write_number(cell.0, cell.1, *number).map_err(failed)?;
                }
                Value::Date(date) => match serial_day(i64::from(date.0)) {
                    Some(day) => {
                        sheet
                            .write_number_with_format(cell.0, cell.1, day as f64, &self.date)
                            .map_err(failed)?;
                    }
                    None => write_text(sheet, cell, &date.to_string(), under_way.table, column)?,
                },
                Value::Timestamp(moment) => match serial_day(moment.0.div_euclid(US_A_DAY)) {
                    Some(day) => {
                        let part = moment.0.rem_euclid(US_A_DAY) as f64 / US_A_DAY as f64;
                        sheet
                            .write_number_with_format(cell.0, cell.1, day as f64 + part, &self.moment)
                            .map_err(failed)?;
                    }
                    None => write_text(sheet, cell, &moment.to_string(), under_way.table, column)?,
                },
            }
        }
        under_way.next_row += 1;
        Ok(())
    }
}

/// Bytes that a value takes at most in a sheet's XML, where a character may become `&quot;` or `_x0001_`.
fn most_bytes(value: &Value) -> u64 {
    let text = match value {
        Value::Text(text) | Value::Json(text) => text.len() as u64,
        _ => 0,
    };
    128 + 7 * text
}

fn write_text(
    sheet: &mut Worksheet,
    (row, place): (u32, u16),
    text: &str,
    table: &Table,
    column: &Column,
) -> Result<(), ExportError> {
    let characters = text.encode_utf16().count();
    if characters > CELL_CHARACTERS {
        return Err(ExportError::DoesNotFit(format!(
            "a text of `{}` in `{}`, row {} of its sheet, has {characters} characters, and a cell of Excel takes \
             {CELL_CHARACTERS}; take another format",
            column.name,
            table.name,
            row + 1
        )));
    }
    // Never `write`, which makes a formula of a text that looks like one.
    sheet.write_string(row, place, text).map_err(failed)?;
    Ok(())
}

fn is_exact_in_excel(number: i64) -> bool {
    number.unsigned_abs() <= EXACT
}

/// A day as Excel counts them, from days since 1970; `None` for one that it would take for another.
fn serial_day(days: i64) -> Option<i64> {
    // 9999-12-31 is the last one.
    let day = days + DAYS_TO_1970;
    (FIRST_TRUE_DAY..=2_958_465).contains(&day).then_some(day)
}

fn width(column: &Column) -> f64 {
    match column.kind {
        Kind::Integer | Kind::Real => 12.0,
        Kind::Date => 11.0,
        Kind::Timestamp => 23.0,
        Kind::Text | Kind::Json => 24.0,
    }
}

fn failed(error: XlsxError) -> ExportError {
    match error {
        XlsxError::IoError(error) => ExportError::from(error),
        other => ExportError::Writing(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_excel_would_round_is_a_text() {
        for (number, is_exact) in [
            (EXACT as i64, true),
            (EXACT as i64 + 1, false),
            (-1, true),
            (i64::MIN, false),
        ] {
            assert_eq!(is_exact_in_excel(number), is_exact, "{number}");
        }
    }

    #[test]
    fn days_are_counted_as_excel_does() {
        // Excel's own numbers: 1900-03-01 is 61, 2000-01-01 is 36526.
        for (days, expected) in [(-25_508, Some(61)), (10_957, Some(36_526)), (-25_509, None)] {
            assert_eq!(serial_day(days), expected);
        }
    }

    #[test]
    fn a_full_sheet_goes_on_in_another_one() {
        const TABLE: Table = Table {
            name: "numbers",
            meaning: "",
            columns: &[Column {
                name: "n",
                kind: Kind::Integer,
                nullable: false,
                unit: None,
                meaning: "",
            }],
            order: &["n"],
        };
        let mut out = Vec::new();
        let mut writer = ExcelWriter {
            out: &mut out,
            room: Room::in_folder(&std::env::temp_dir()).unwrap(),
            workbook: Workbook::new(),
            sheet_rows: 3,
            header: CellFormat::new(),
            date: CellFormat::new(),
            moment: CellFormat::new(),
            under_way: None,
        };
        writer.table(&TABLE).unwrap();
        let rows: Vec<Row> = (0..5).map(|number| vec![Value::Integer(number)]).collect();
        writer.rows(&rows).unwrap();
        let names: Vec<_> = writer.workbook.worksheets().iter().map(Worksheet::name).collect();
        assert_eq!(names, ["numbers", "numbers (2)", "numbers (3)"]);
    }
}
