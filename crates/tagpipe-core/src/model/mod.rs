//! What the population report is made of: page kinds, the identity of a page, and the rows read from it.
//!
//! All text in these types is already clean: white space collapsed, control characters replaced, Unicode
//! composed (NFC). The extraction is the only place that makes them from a stranger's text.

mod grade;
mod identity;
mod rows;
mod text;

pub use grade::{CertNumber, Counts, GRADE_CODE_MAX, Grade, GradeCode, GradeValue, InvalidGradeCode};
pub use identity::{Identity, PageKey, PageKind, UnknownPageKind, bounded_key};
pub use rows::{CardRow, CategoryRow, GradeRow, PageRows, SetRow, YearRow};
pub use text::{clean_text, fold_name};
