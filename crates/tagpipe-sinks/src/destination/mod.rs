//! Places that data is written to and read from: files, and cloud storage.
