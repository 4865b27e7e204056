//! The site profile.
