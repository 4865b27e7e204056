"""Reads exported files with other programs than the one that wrote them, and compares them with the SQLite database that they
came from, row by row and value by value.

    read_back.py DATABASE FORMAT TABLE=FILE...

Which columns are moments, days and JSON is known here from their names, not from the export's own description. Prints the rows
that were compared; ends with the first difference.
"""

import csv
import datetime
import gzip
import io
import itertools
import json
import os
import re
import sqlite3
import sys

import duckdb
import openpyxl
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
JSON_COLUMNS = {"counts", "config", "summary", "context"}
ORDERS = {
    "catalogue": "card_id",
    "card_population": "card_id, grade_code",
    "set_population": "set_id, grade_code",
    "grade_scale": "position, code",
    "runners": "run_id, started_at, instance",
}
DATES = {"completed_on"}


def is_moment(column):
    return column.endswith("_at")


def micros(moment):
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def moment_of(text):
    """Microseconds since 1970 of a text such as 2026-11-24T07:48:09.567Z."""
    return micros(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")))


def document(text):
    """JSON that means the same is the same."""
    return ("json", json.dumps(json.loads(text), sort_keys=True))


# The database ---------------------------------------------------------------------------------------------------


def stored(database, table, columns):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    missing = set(columns) - known
    assert not missing, f"{table} has no {missing}"
    order = ORDERS.get(table, "id")
    for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"):
        yield [from_database(column, value) for column, value in zip(columns, row)]


def from_database(column, value):
    if value is None:
        return None
    if is_moment(column):
        return ("moment", moment_of(value))
    if column in DATES:
        return ("day", value)
    if column in JSON_COLUMNS:
        return document(value)
    return value


# The formats: each gives the names of the columns, and then rows ---------------------------------------------------


def opened(file):
    if file.endswith(".gz"):
        return gzip.open(file, "rb")
    if file.endswith(".zst"):
        return pyarrow.CompressedInputStream(pyarrow.OSFile(file), "zstd")
    return open(file, "rb")


def read_csv(file, _table):
    csv.field_size_limit(sys.maxsize)
    text = io.TextIOWrapper(opened(file), encoding="utf-8", newline="")
    reader = csv.reader(text, strict=True)
    names = next(reader)
    yield names
    for row in reader:
        yield [from_text(name, value) for name, value in zip(names, row, strict=True)]


def from_text(column, text):
    """A field of CSV: its reader cannot tell a missing value from an empty text."""
    if text == "":
        return None
    if is_moment(column):
        return ("moment", moment_of(text))
    if column in DATES:
        return ("day", text)
    if column in JSON_COLUMNS:
        return document(text)
    return text


def read_jsonl(file, _table):
    lines = io.TextIOWrapper(opened(file), encoding="utf-8", newline="\n")
    yield from objects(json.loads(line) for line in lines)


def read_json(file, _table):
    yield from objects(json.load(opened(file)))


def objects(rows):
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    names = list(first)
    yield names
    for row in itertools.chain([first], rows):
        assert list(row) == names, "all objects have the same members in the same order"
        yield [from_json(name, value) for name, value in row.items()]


def from_json(column, value):
    if value is None:
        return None
    if column in JSON_COLUMNS:
        return ("json", json.dumps(value, sort_keys=True))
    if isinstance(value, str):
        return from_text(column, value) if value else ""
    return value


def read_parquet(file, _table):
    parquet = pyarrow.parquet.ParquetFile(file)
    check_types(parquet.schema_arrow)
    yield parquet.schema_arrow.names
    for batch in parquet.iter_batches(batch_size=10_000):
        yield from arrow_rows(batch)


def read_arrow(file, _table):
    reader = pyarrow.ipc.open_file(file)
    check_types(reader.schema)
    yield reader.schema.names
    for number in range(reader.num_record_batches):
        yield from arrow_rows(reader.get_batch(number))


def check_types(schema):
    for field in schema:
        if is_moment(field.name):
            assert field.type == pyarrow.timestamp("us", tz="UTC"), field
        if field.name in DATES:
            assert field.type == pyarrow.date32(), field
        assert field.metadata[b"meaning"], field


def arrow_rows(batch):
    columns = []
    for name, column in zip(batch.schema.names, batch.columns):
        if pyarrow.types.is_timestamp(column.type):
            values = [None if us is None else ("moment", us) for us in column.cast(pyarrow.int64()).to_pylist()]
        elif pyarrow.types.is_date(column.type):
            values = [None if day is None else ("day", day.isoformat()) for day in column.to_pylist()]
        elif name in JSON_COLUMNS:
            values = [None if text is None else document(text) for text in column.to_pylist()]
        else:
            values = column.to_pylist()
        columns.append(values)
    yield from map(list, zip(*columns))


def read_xlsx(file, table):
    book = openpyxl.load_workbook(file, read_only=True)
    names = None
    for sheet in book.worksheets:
        if sheet.title != table and not re.fullmatch(re.escape(table) + r" \(\d+\)", sheet.title):
            continue
        sheet.reset_dimensions()
        for number, row in enumerate(sheet.iter_rows()):
            assert all(cell.data_type != "f" for cell in row), "no text is a formula"
            values = [cell.value for cell in row]
            if number > 0:
                values += [None] * (len(names) - len(values))
                yield [from_cell(name, value) for name, value in zip(names, values, strict=True)]
            elif names is None:
                names = values
                yield names
            else:
                assert values == names, "each sheet has the header"


def from_cell(column, value):
    if isinstance(value, datetime.datetime) and column in DATES:
        return ("day", value.date().isoformat())
    if isinstance(value, datetime.datetime):
        return ("moment", micros(value.replace(tzinfo=datetime.timezone.utc)))
    if isinstance(value, str):
        # ECMA-376, part 1, 22.9.2.19 (ST_Xstring): what XML has no character for.
        value = re.sub("_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code[1], 16)), value)
        return document(value) if column in JSON_COLUMNS else value
    return value


def read_sqlite(file, table):
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    yield names
    for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid"):
        yield [from_database(name, value) for name, value in zip(names, row)]


READERS = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "json": read_json,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "xlsx": read_xlsx,
    "sqlite": read_sqlite,
}


# The comparison ----------------------------------------------------------------------------------------------------


def is_same(form, wanted, got):
    if form == "csv":
        if wanted is None or wanted == "":
            return got is None
        if isinstance(wanted, (int, float)):
            return isinstance(got, str) and type(wanted)(got) == wanted
    if form == "xlsx":
        if wanted is None or wanted == "":
            return got is None
        if isinstance(wanted, int) and abs(wanted) > 999_999_999_999_999:
            return got == str(wanted)
        if isinstance(wanted, (int, float)):
            return isinstance(got, (int, float)) and got == wanted
        if isinstance(wanted, tuple) and wanted[0] == "moment":
            return got[0] == "moment" and abs(got[1] - wanted[1]) <= 500
    return type(wanted) is type(got) and wanted == got


def compare(database, form, table, file):
    reader = READERS[form](file, table)
    names = next(reader, None)
    if names is None:
        # A JSON file without rows has no names either.
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        assert connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None, f"{table} has rows, {file} none"
        return 0
    count = 0
    missing = object()
    pairs = itertools.zip_longest(stored(database, table, names), reader, fillvalue=missing)
    for count, (wanted, got) in enumerate(pairs, 1):
        assert wanted is not missing, f"{form} {table}: row {count} is too many: {got}"
        assert got is not missing, f"{form} {table}: row {count} is missing: {wanted}"
        if wanted == got and list(map(type, wanted)) == list(map(type, got)):
            continue
        for name, one, other in zip(names, wanted, got, strict=True):
            assert is_same(form, one, other), f"{form} {table} row {count} {name}: {one!r} became {other!r}"
    if form == "csv" and os.path.getsize(file) < 10_000_000 and not file.endswith(".zst"):
        compare_what_is_missing(database, table, file, names)
    return count


def compare_what_is_missing(database, table, file, names):
    """Python's csv cannot tell a missing value from an empty text. DuckDB can."""
    source = "read_csv(?, header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"', " \
        "nullstr = '', allow_quoted_nulls = false, parallel = false)"
    counts = [f"count(*) FILTER (WHERE {name} IS NULL), count(*) FILTER (WHERE {name} = '')" for name in names]
    sql = f"SELECT {', '.join(counts)} FROM "
    got = duckdb.execute(sql + source, [file]).fetchone()
    wanted = sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute(sql + table).fetchone()
    assert wanted == got, f"csv {table}: missing and empty in {list(zip(names, wanted[::2], wanted[1::2]))} became {got}"


def main():
    database, form, *pairs = sys.argv[1:]
    rows = 0
    for pair in pairs:
        table, file = pair.split("=", 1)
        rows += compare(database, form, table, file)
    print(rows)


main()
