//! A stand-in for the population report: synthetic, deterministic, and honest about its own content.
