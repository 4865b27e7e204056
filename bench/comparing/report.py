"""From what was measured to Markdown. Every figure here is one that was measured in the same call."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .candidates import Candidate, Field
from .measuring import FAULTS, PACE_S, PACED_LATENCY_MS, Results, Run, Sizes, by_candidate

MIB = 1 << 20


@dataclass(frozen=True)
class Machine:
    """Where and when it was measured."""

    date: str
    processor: str
    cores: int
    memory: str
    kernel: str
    load_before: str


def markdown(results: Results, field: Field, sizes: Sizes, machine: Machine) -> str:
    parts = [
        heading(results, field, sizes, machine),
        section(f"Over HTTP, {sizes.pages:,} pages", rounds_table(results.rounds)),
        section(f"Rendered pages, {sizes.rendered_pages:,}", rounds_table(results.rendered_rounds)),
        section("Pages lost at 10 % faults", faults_table(results), faults_words()),
        section("A week later, 2 % of the cards changed", weekly_table(results), WEEKLY_WORDS),
        section(f"One request every {PACE_S:g} s", paced_table(results), paced_words()),
        section("Growth", growth_table(results)),
        section("Pages in hand that were tried", tuning_table(results)),
        section("What each does and does not do", does_table(field.candidates), FAIRNESS),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def heading(results: Results, field: Field, sizes: Sizes, machine: Machine) -> str:
    command = " ".join(filter(None, ["bench/compare", sizes.label]))
    size = results.bytes_per_page
    lines = [
        f"measured {machine.date} with `{command}`: {sizes.rounds} interleaved rounds",
        f"{machine.cores} × {machine.processor}, {machine.memory}, {machine.kernel}, load {machine.load_before} at the start",
        "the site is tagpipe's demo site in a process of its own on the same machine"
        + (f", {size / 1000:.1f} kB a page" if size else ""),
        *[f"not measured: {name}: {why}" for name, why in field.absent.items()],
        *[f"left out, the time was up: {what}" for what in results.left_out],
        *[f"broken off: {what}" for what in results.broken],
    ]
    return "# tagpipe and what one would use instead\n\n" + "\n".join(f"- {line}" for line in lines)


def section(title: str, table: str, words: str = "") -> str:
    return "\n\n".join(filter(None, [f"## {title}", table, words])) if table else ""


def table(columns: list[str], lines: Iterable[list[str]]) -> str:
    lines = list(lines)
    if not lines:
        return ""
    rule = ["---", *["--:"] * (len(columns) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, rule, *lines])


def rounds_table(rounds: list[list[Run]]) -> str:
    columns = ["", "at a time", "pages/s", "tagpipe's speed is … times that", "CPU s for 1,000 pages", "peak MiB", "output"]
    return table(columns, (rounds_line(name, runs, rounds) for name, runs in by_candidate(rounds)))


def rounds_line(name: str, runs: list[Run], rounds: list[list[Run]]) -> list[str]:
    verdicts = list(dict.fromkeys(run.problem for run in runs if run.problem))
    cells = [
        spread([run.rate for run in runs], "{:,.1f}"),
        spread(ratios(name, rounds), "{:.2f}"),
        spread([1000 * run.cpu_s / run.pages for run in runs], "{:.2f}"),
        spread([run.peak_bytes / MIB for run in runs], "{:,.0f}"),
    ]
    if verdicts:
        cells = [f"~~{cell}~~" if cell else "" for cell in cells]
    return [name, str(runs[0].concurrency), *cells, "; ".join(verdicts) or "as the truth"]


def ratios(name: str, rounds: list[list[Run]]) -> list[float]:
    """tagpipe's speed over the candidate's, in each round in which both count."""
    found = []
    for runs in rounds:
        ours = [run for run in runs if run.candidate.startswith("tagpipe") and run.counts]
        theirs = [run for run in runs if run.candidate == name and run.counts]
        found += [our.rate / their.rate for our, their in zip(ours, theirs, strict=False)]
    return found


def spread(values: list[float], form: str) -> str:
    """Median, and least and most of them."""
    if not values:
        return ""
    middle = form.format(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"**{middle}** ({form.format(min(values))} to {form.format(max(values))})"


def faults_table(results: Results) -> str:
    columns = ["", "pages", "pages lost", "failed by its own account", "requests", "wall s"]
    return table(columns, (measured(run, ["lost", "failed", "requests"]) for run in results.faults))


def faults_words() -> str:
    named = ", ".join(f"{fault} {100 * share:g} %" for fault, share in FAULTS.items())
    return (
        f"Shares of answers: {named}. They depend on the page and on how often it was asked for, so that all meet the same. "
        "A page is lost when its rows are not exactly the site's; with it goes what lies below."
    )


WEEKLY_WORDS = (
    "tagpipe had read the site the week before. The others have no memory and read everything. "
    "All outputs are compared with the truth of the second week."
)


def weekly_table(results: Results) -> str:
    return table(["", "pages", "requests", "wall s"], (measured(run, ["requests"]) for run in results.weekly))


def measured(run: dict[str, Any], names: list[str]) -> list[str]:
    values = ["" if run[name] is None else f"{run[name]:,}" for name in names]
    wall = f"{run['wall_s']:.1f}"
    if run["problem"]:
        values, wall = [f"~~{value}~~" if value else "" for value in values], f"~~{wall}~~ {run['problem']}"
    return [run["candidate"], f"{run['pages']:,}", *values, wall]


def paced_table(results: Results) -> str:
    columns = ["", "requests", "time lost against the pace", "median gap ms", "closer than half the interval"]
    return table(columns, (paced_line(run) for run in results.paced))


def paced_line(run: dict[str, Any]) -> list[str]:
    if run["problem"]:
        return [run["candidate"], run["problem"], "", "", ""]
    return [
        run["candidate"],
        f"{run['requests']:,}",
        f"{100 * run['lost_share']:+.1f} %",
        f"{1000 * run['median_gap_s']:.1f}",
        f"{100 * run['too_close_share']:.1f} %",
    ]


def paced_words() -> str:
    return (
        f"As the site saw it, from the first request to the last; a page takes {PACED_LATENCY_MS} ms. Below zero it was faster than "
        "it was told. Crawlee's settings do not space requests, so the wait is written by hand before each."
    )


def growth_table(results: Results) -> str:
    columns = ["", "pages", "pages/s", "CPU s for 1,000 pages", "peak MiB"]
    runs = sorted(results.growth, key=lambda run: run.candidate != "tagpipe")
    grouped = [run for _, group in by_candidate([runs]) for run in group]
    return table(columns, (growth_line(run) for run in grouped))


def growth_line(run: Run) -> list[str]:
    cells = [f"{run.rate:,.1f}", f"{1000 * run.cpu_s / run.pages:.2f}", f"{run.peak_bytes / MIB:,.0f}"]
    if not run.counts:
        cells = [f"~~{cells[0]}~~ {run.problem}", "", ""]
    return [run.candidate, f"{run.pages:,}", *cells]


def tuning_table(results: Results) -> str:
    def line(name: str, runs: list[Run]) -> list[str]:
        return [
            name,
            ", ".join(
                f"{run.concurrency}: {run.rate:,.0f}" if run.counts else f"{run.concurrency}: {run.problem}" for run in runs
            ),
        ]

    return table(["", "pages/s by pages in hand"], (line(name, runs) for name, runs in by_candidate([results.tuning])))


def does_table(candidates: list[Candidate]) -> str:
    columns = ["", "version", "repeats", "keeps", "note"]
    lines = [[it.name, it.version, it.repeats, it.keeps, it.note] for it in candidates]
    return table(columns, lines).replace("--:", "---")


FAIRNESS = """- Every candidate reads all five levels and extracts the same fields. Its rows are compared with the site's own truth, page by page,
  before its time counts; where they differ its figures are struck out.
- Time is from start to exit of the process, its start, its end and tagpipe's comparison of sums included. CPU seconds are user and
  system time of all its processes, not of the site. Memory is the most that all its processes took at a time: the sum of their
  proportional shares, or the resident peak of the largest if that is more.
- tagpipe commits every row durably and keeps history and audit trail; the others write lines of JSON and would begin anew after a
  crash. tagpipe, Scrapy and Crawlee obey robots.txt, the bare ones do not ask.
- Over HTTP each candidate has the number of pages in hand with which it was fastest in this call, where that was tried; rendered
  pages have the same number of tabs for all, and the same Chromium.
- Site and reader share the machine: on few cores the site's own work holds the fastest readers back most."""
