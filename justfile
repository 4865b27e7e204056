# The few commands. `just` alone lists them.

_default:
    @just --list

# Reads the demo site into tagpipe-demo.db
demo *ARGUMENTS:
    cargo run --release -- demo {{ARGUMENTS}}

# Everything that must hold
test *ARGUMENTS:
    scripts/test {{ARGUMENTS}}

# Brings the sources into form
format:
    cargo fmt --all

# Each fuzz target for so many seconds
fuzz SECONDS="60":
    scripts/fuzz {{SECONDS}}

# Whole runs and their parts
bench *ARGUMENTS:
    bench/run {{ARGUMENTS}}

# How fast one can look into a large database
bench-looking *ARGUMENTS:
    bench/looking {{ARGUMENTS}}

# How fast runners claim pages from a frontier of a million
bench-claims *ARGUMENTS:
    bench/claims {{ARGUMENTS}}

# How fast each format is exported, and in how much memory
bench-export *ARGUMENTS:
    bench/export {{ARGUMENTS}}

# How stale weeks of one budget leave the data
bench-freshness *ARGUMENTS:
    bench/freshness {{ARGUMENTS}}

# What kept documents cost, and how fast they are read again
bench-documents *ARGUMENTS:
    bench/documents {{ARGUMENTS}}

# What 2 and 4 runners bring
bench-runners *ARGUMENTS:
    bench/runners {{ARGUMENTS}}

# Where the CPU seconds of a run go
bench-profile *ARGUMENTS:
    bench/profile {{ARGUMENTS}}

# tagpipe beside Scrapy, Crawlee and the bare ways
bench-compare *ARGUMENTS:
    bench/compare {{ARGUMENTS}}

# Makes docs/reference.md from the program
reference:
    scripts/reference

# Draws docs/demo.svg from a real run
picture:
    cargo build --release
    scripts/demo-svg target/release/tagpipe
