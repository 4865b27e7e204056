//! Ways to tell people what happened.
