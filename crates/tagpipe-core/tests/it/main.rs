//! The profile and the extraction over whole documents.

mod another_grader;
mod any_document;
mod pages;
mod profile_errors;
mod render;
mod urls;
