//! The conditions of a query whose filter may ask for this or that, with their parameters.

use sea_orm::Value;

/// Conditions, all of which must hold.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) parts: Vec<String>,
    pub(crate) values: Vec<Value>,
}

impl Conditions {
    /// A test such as `kind =`, and the value that follows it.
    pub(crate) fn add(&mut self, test: &str, value: impl Into<Value>) {
        let place = self.place(value);
        self.parts.push(format!("{test} {place}"));
    }

    /// The place of a further parameter.
    pub(crate) fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}
