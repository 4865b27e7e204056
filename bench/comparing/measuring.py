"""What is measured, in which order, until the time is up."""

import itertools
import json
import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import process, rows
from .candidates import Candidate, Reading, say
from .site import Site

FAULTS = {"rate-limited": 0.02, "unavailable": 0.02, "soft-404": 0.02, "cut-off": 0.02, "partial": 0.02}
"""Shares of answers: a tenth together."""
LEAST_LEFT_S = 5.0
"""A reading is not begun with less time than this."""
PACE_S = 0.05
PACED_LATENCY_MS = 50
"""How long a page takes where the pace is measured: as long as the interval, so that who waits for each page falls behind."""
OWN_SETTINGS = ("TAGPIPE_", "PIPELINE_", "POSTGRES_", "DATABASE_URL", "CRAWLEE_", "SCRAPY_")
"""Variables of the caller that would change what is measured begin with one of these."""


@dataclass(frozen=True)
class Sizes:
    """How much is read. Pages are those of the demo site; limits are seconds."""

    label: str
    rounds: int
    pages: int
    rendered_pages: int
    growth: tuple[int, ...]
    paced_pages: int
    tuning_pages: int
    tabs: int
    run_limit_s: float
    whole_limit_s: float


FULL = Sizes("", 3, 10_000, 400, (1_000, 10_000, 100_000), 1_000, 1_000, 4, 900, 57 * 60)
QUICK = Sizes("--quick", 3, 1_000, 60, (300, 1_000, 3_000), 200, 0, 4, 120, 14 * 60)
TINY = Sizes("--tiny", 1, 120, 60, (60, 120), 60, 0, 4, 90, 4 * 60)


@dataclass(frozen=True)
class Terms:
    """What is special about one reading."""

    what: str
    in_hand: int | None = None
    """Pages at a time, if not the candidate's best."""
    delay_s: float = 0.0
    folder: Path | None = None
    """Where it reads, if what stands there matters; a fresh folder otherwise."""
    may_lose: bool = False
    """Whether a run with lost pages counts all the same."""


@dataclass
class Run:
    """What one candidate did in one reading."""

    candidate: str
    concurrency: int
    pages: int
    """Pages of the site."""
    wall_s: float
    cpu_s: float
    site_cpu_s: float
    peak_bytes: int
    lost: int
    """Pages whose rows are not the site's."""
    failed: int | None
    """Pages that it says itself it could not read."""
    problem: str
    """Why it does not count; empty if it does."""

    @property
    def rate(self) -> float:
        return self.pages / self.wall_s

    @property
    def counts(self) -> bool:
        return not self.problem


@dataclass
class Results:
    """Everything that was measured, as it stands in the JSON file."""

    tuning: list[Run] = field(default_factory=list)
    rounds: list[list[Run]] = field(default_factory=list)
    rendered_rounds: list[list[Run]] = field(default_factory=list)
    growth: list[Run] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    weekly: list[dict[str, Any]] = field(default_factory=list)
    paced: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What the time did not suffice for."""
    broken: list[str] = field(default_factory=list)
    """Steps that ended early, and why."""
    bytes_per_page: float | None = None


class Bench:
    """One comparison, with a scratch folder and a moment at which it must be over."""

    def __init__(self, tagpipe: Path, candidates: list[Candidate], sizes: Sizes, scratch: Path) -> None:
        self.tagpipe = tagpipe
        self.sizes = sizes
        self.scratch = scratch
        self.http = [candidate for candidate in candidates if not candidate.rendered]
        self.rendered = [candidate for candidate in candidates if candidate.rendered]
        self.in_hand = {candidate.name: 16 if not candidate.rendered else sizes.tabs for candidate in candidates}
        self.in_hand |= {candidate.name: 32 for candidate in candidates if candidate.name in ("Scrapy", "Crawlee, Cheerio")}
        self.deadline = time.monotonic() + sizes.whole_limit_s
        self.results = Results()

    def measure(self) -> Results:
        """All steps, the most telling first, so that it is the last ones that fall to the limit."""
        for step in (self.tune, self.read_rounds, self.lose_pages, self.read_weekly, self.keep_the_pace, self.grow):
            try:
                step()
            except (OSError, RuntimeError) as error:
                self.results.broken.append(f"{step.__name__}: {error}")
        return self.results

    def tune(self) -> None:
        """Finds how many pages in hand are fastest for each candidate; rendered pages have the same number of tabs for all."""
        if not self.sizes.tuning_pages:
            return
        with self.site(self.sizes.tuning_pages) as site:
            wanted = rows.truth(site)
            for candidate in self.http:
                runs = [self.read(candidate, site, wanted, Terms("tuning", in_hand)) for in_hand in candidate.tried]
                self.results.tuning += [run for run in runs if run]
                good = [run for run in runs if run and run.counts]
                if good:
                    self.in_hand[candidate.name] = max(good, key=lambda run: run.rate).concurrency

    def read_rounds(self) -> None:
        self.results.rounds = self.interleaved(self.http, self.sizes.pages, "server")
        self.results.rendered_rounds = self.interleaved(self.rendered, self.sizes.rendered_pages, "script")

    def interleaved(self, candidates: list[Candidate], pages: int, rendering: str) -> list[list[Run]]:
        """Rounds in which each reads once; each round begins with another candidate."""
        rounds: list[list[Run]] = []
        if not candidates:
            return rounds
        with self.site(pages, "--rendering", rendering) as site:
            wanted = rows.truth(site)
            for number in range(self.sizes.rounds):
                first = number % len(candidates)
                runs = [
                    self.read(it, site, wanted, Terms(f"round {number + 1}")) for it in candidates[first:] + candidates[:first]
                ]
                rounds.append([run for run in runs if run])
        return rounds

    def lose_pages(self) -> None:
        """Every candidate meets the same faults: they depend on the page and on how often it was asked for."""
        shares = [word for fault, share in FAULTS.items() for word in (f"--{fault}", str(share))]
        for candidate in self.http:
            with self.site(self.sizes.pages, *shares, log=True) as site:
                run = self.read(candidate, site, rows.truth(site), Terms("faults", may_lose=True))
                if run:
                    self.results.faults.append(vars(run) | {"requests": len(site.page_requests())})

    def read_weekly(self) -> None:
        """tagpipe has read the site before; the others have no memory and are told nothing."""
        for candidate in self.http:
            with self.site(self.sizes.pages, log=True) as site:
                folder = self.folder()
                before = Terms("the week before", folder=folder)
                if candidate.is_tagpipe and not self.read(candidate, site, rows.truth(site), before):
                    continue
                site.change({"epoch": 1})
                site.forget_requests()
                run = self.read(candidate, site, rows.truth(site), Terms("weekly update", folder=folder))
                if run:
                    self.results.weekly.append(vars(run) | {"requests": len(site.page_requests())})

    def keep_the_pace(self) -> None:
        for candidate in self.http:
            with self.site(self.sizes.paced_pages, "--latency-ms", str(PACED_LATENCY_MS), log=True) as site:
                run = self.read(candidate, site, rows.truth(site), Terms("pace", delay_s=PACE_S))
                if run:
                    self.results.paced.append(vars(run) | pace_of(site.page_requests()))

    def grow(self) -> None:
        for pages in self.sizes.growth:
            with self.site(pages) as site:
                wanted = rows.truth(site)
                runs = [self.read(candidate, site, wanted, Terms("growth")) for candidate in self.http]
                self.results.growth += [run for run in runs if run]

    def read(self, candidate: Candidate, site: Site, wanted: rows.Pages, terms: Terms) -> Run | None:
        """One reading from start to exit, and what came of it; none when the time is up."""
        left = self.deadline - time.monotonic()
        if left < LEAST_LEFT_S:
            self.results.left_out.append(f"{terms.what}, {site.pages} pages: {candidate.name}")
            return None
        folder = terms.folder or self.folder()
        reading = Reading(site.url, folder, terms.in_hand or self.in_hand[candidate.name], terms.delay_s)
        say(f"{terms.what}: {candidate.name}, {site.pages} pages, {reading.concurrency} at a time")
        site_before = site.cpu_s()
        limit = min(self.sizes.run_limit_s, left)
        measured = process.measure(candidate.command(reading), folder, environment(), folder / "log", limit, {site.process.pid})
        site_cpu = site.cpu_s() - site_before
        if measured.stopped and limit == left:
            self.results.left_out.append(f"{terms.what}, {site.pages} pages: {candidate.name}, broken off after {limit:.0f} s")
            return None
        lost, failed, problem = self.judge(candidate, reading, measured, wanted, terms.may_lose)
        if candidate.name == "tagpipe" and not problem:
            self.results.bytes_per_page = bytes_per_page(reading.database)
        run = Run(
            candidate=candidate.name,
            concurrency=reading.concurrency,
            pages=site.pages,
            wall_s=measured.wall_s,
            cpu_s=measured.cpu_s,
            site_cpu_s=site_cpu,
            peak_bytes=measured.peak_bytes,
            lost=lost,
            failed=failed,
            problem=problem,
        )
        say(f"  {problem or f'{run.rate:.1f} pages/s, {lost} pages lost'}")
        return run

    def judge(
        self, candidate: Candidate, reading: Reading, measured: process.Measured, wanted: rows.Pages, may_lose: bool
    ) -> tuple[int, int | None, str]:
        """Pages lost, pages that it says it failed, and why the run does not count."""
        if measured.stopped:
            return len(wanted), None, f"stopped after {measured.wall_s:.0f} s"
        # tagpipe says with 3 that pages failed and with 4 that sums disagree: where pages may be lost it has done its work.
        if measured.exit_code != 0 and not (may_lose and candidate.is_tagpipe and measured.exit_code in (3, 4)):
            return len(wanted), None, f"exit code {measured.exit_code}: {last_line(reading.folder / 'log')}"
        try:
            failed: int | None
            if candidate.is_tagpipe:
                got, failed = rows.stored(reading.database), failed_pages(reading.database)
            else:
                got, end = rows.written(reading.rows)
                failed = end.get("failed")
        except (OSError, ValueError, KeyError, sqlite3.Error) as error:
            return len(wanted), None, f"its rows cannot be read: {error}"
        lost = rows.lost(wanted, got)
        return lost, failed, f"wrong: {lost} pages differ from the truth" if lost and not may_lose else ""

    def site(self, pages: int, *options: str, log: bool = False) -> Site:
        return Site(self.tagpipe, self.scratch, pages, *options, *([] if log else ["--no-request-log"]))

    def folder(self) -> Path:
        folder = self.scratch / "reading"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def failed_pages(database: Path) -> int:
    return int(
        one_number(database, "SELECT count(*) FROM frontier WHERE state = 'failed' AND run_id = (SELECT max(id) FROM runs)")
    )


def bytes_per_page(database: Path) -> float:
    return float(one_number(database, "SELECT sum(bytes) * 1.0 / sum(requests) FROM runners"))


def one_number(database: Path, query: str) -> Any:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchone()[0]


def pace_of(asked: list[float]) -> dict[str, Any]:
    """How the site saw the pace: time lost against one request every `PACE_S`, and how close requests came to each other."""
    gaps = [after - before for before, after in itertools.pairwise(asked)]
    span = asked[-1] - asked[0] if gaps else 0.0
    ideal = PACE_S * len(gaps)
    return {
        "requests": len(asked),
        "span_s": span,
        "lost_share": span / ideal - 1 if ideal else 0.0,
        "median_gap_s": statistics.median(gaps) if gaps else 0.0,
        "too_close_share": sum(gap < PACE_S / 2 for gap in gaps) / len(gaps) if gaps else 0.0,
    }


def by_candidate(rounds: list[list[Run]]) -> Iterator[tuple[str, list[Run]]]:
    """Each candidate with its runs, in the order of the first round."""
    for name in dict.fromkeys(run.candidate for runs in rounds for run in runs):
        yield name, [run for runs in rounds for run in runs if run.candidate == name]


def as_json(results: Results) -> str:
    return json.dumps(results, default=vars, indent=1, ensure_ascii=False)
