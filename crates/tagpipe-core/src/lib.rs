//! The rules of tagpipe: model, site profile, extraction, page lifecycle, policies. No I/O.
