//! The tables, as types for reading: one set for both engines. Writing goes through [`crate::Store`].

pub mod audit_logs;
pub mod cards;
pub mod catalogue_history;
pub mod categories;
pub mod certificate_history;
pub mod discrepancies;
pub mod documents;
pub mod frontier;
pub mod grade_rows;
pub mod grade_scale;
pub mod orchestrators;
pub mod pace;
pub mod population_history;
pub mod retry_counts;
pub mod runners;
pub mod runs;
pub mod sets;
pub mod years;
