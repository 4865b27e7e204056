"""Rows, from whoever read them, in one form: what each page should have given and what it gave.

A page is known by the names on the way to it, its rows by a sum of hashes that does not depend on their order. Two readings
agree where every page has the same sum; where one has another sum, or none, that page is lost.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

from .site import Site

Row = dict[str, Any]
Pages = dict[int, int]
"""From page to the sum over its rows."""

PAGE_OF = {
    "categories": [],
    "years": ["category"],
    "sets": ["category", "year"],
    "cards": ["category", "year", "brand", "set"],
    "grade_rows": ["category", "year", "brand", "set", "number", "name", "variation"],
}
"""The names of the page that lists the rows of a table."""

COLUMNS = {
    "categories": ["name"],
    "years": ["year", "sets_count", "items_count", "graded_count"],
    "sets": ["brand", "name", "counts", "total"],
    "cards": ["number", "name", "variation", "counts", "total"],
    "grade_rows": [
        *["cert_number", "rank", "grade_text", "grade", "grade_label", "score", "rank_by_grade"],
        *["chronology", "chron_by_grade", "completed_on", "report_url"],
    ],
}
"""What is compared of a row. That its address was read right shows in the rows of the page behind it."""

SUMS = 1 << 64

# The label of a VA is its whole text in the database, and none in the truth.
STORED = {
    "categories": "SELECT name FROM categories",
    "years": "SELECT c.name AS category, year, sets_count, items_count, graded_count FROM years JOIN categories c ON c.id = category_id",
    "sets": """SELECT c.name AS category, y.year, s.brand, s.name, s.counts, s.total
        FROM sets s JOIN years y ON y.id = s.year_id JOIN categories c ON c.id = y.category_id""",
    "cards": """SELECT c.name AS category, y.year, s.brand, s.name AS "set", d.number, d.name, d.variation, d.counts, d.total
        FROM cards d JOIN sets s ON s.id = d.set_id JOIN years y ON y.id = s.year_id JOIN categories c ON c.id = y.category_id""",
    "grade_rows": """SELECT c.name AS category, y.year, s.brand, s.name AS "set", d.number, d.name, d.variation, g.cert_number, g.rank,
        g.grade_text, g.grade, nullif(g.grade_label, 'VA') AS grade_label, g.score, g.rank_by_grade, g.chronology, g.chron_by_grade, g.completed_on, g.report_url
        FROM grade_rows g JOIN cards d ON d.id = g.card_id JOIN sets s ON s.id = d.set_id JOIN years y ON y.id = s.year_id
        JOIN categories c ON c.id = y.category_id WHERE g.vanished_at IS NULL""",
}


def truth(site: Site) -> Pages:
    """What the site says about itself."""
    return summed((table, row) for table in PAGE_OF for row in site.truth(table))


def written(file: Path) -> tuple[Pages, Row]:
    """What stands in a file of JSON lines, and its last line, about the reading itself."""
    end: Row = {}

    def rows() -> Iterator[tuple[str, Row]]:
        with file.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["table"] == "end":
                    end.update(row)
                else:
                    yield row["table"], row

    return summed(rows()), end


def stored(database: Path) -> Pages:
    """What stands in tagpipe's SQLite database."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return summed((table, decoded(row)) for table, query in STORED.items() for row in connection.execute(query))


def decoded(row: sqlite3.Row) -> Row:
    fields = dict(row)
    if "counts" in fields:
        fields["counts"] = json.loads(fields["counts"])
    return fields


def summed(rows: Iterable[tuple[str, Row]]) -> Pages:
    pages: Pages = {}
    for table, row in rows:
        page = hashed([table, [row.get(name) for name in PAGE_OF[table]]])
        pages[page] = (pages.get(page, 0) + hashed([plain(row.get(name)) for name in COLUMNS[table]])) % SUMS
    return pages


def plain(value: Any) -> Any:
    """One form for one value: counts without zeros and in one order, numbers without a point where they need none."""
    if isinstance(value, dict):
        return sorted((grade, count) for grade, count in value.items() if count)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def hashed(value: Any) -> int:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def lost(wanted: Pages, got: Pages) -> int:
    """Pages whose rows are not exactly those that are wanted; pages that nobody wanted count, too."""
    missing = sum(1 for page, total in wanted.items() if got.get(page) != total)
    return missing + sum(1 for page in got if page not in wanted)
