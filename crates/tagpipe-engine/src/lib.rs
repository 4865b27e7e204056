//! The runner: claims pages, fetches them at the site's pace, commits them.
