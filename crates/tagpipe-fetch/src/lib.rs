//! Documents from the site: HTTP, Chromium tabs, robots.txt.
