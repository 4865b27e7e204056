//! Formats that tables are exported in.
