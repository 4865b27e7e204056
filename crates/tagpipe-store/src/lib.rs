//! Everything that is kept: catalogue, frontier, pace, audit trail, on SQLite and PostgreSQL.
