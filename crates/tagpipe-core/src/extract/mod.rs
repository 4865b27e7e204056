//! The extraction.
