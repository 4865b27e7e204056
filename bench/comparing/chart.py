"""Bars of pages a second with their spread, as SVG: one group for HTTP, one for rendered pages, each with its own scale."""

import statistics
from html import escape

from .measuring import Results, Run, by_candidate

WIDTH, LABELS, VALUES, BAR, GAP, TITLE = 760, 190, 90, 20, 10, 40
STYLE = """text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.ours{fill:#1f6feb}.theirs{fill:#8c959f}
.wrong{fill:none;stroke:#8c959f;stroke-dasharray:3}.spread{stroke:#24292f;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.spread{stroke:#e6edf3}}"""


def svg(results: Results) -> str:
    parts: list[str] = []
    top = 0
    for title, rounds in [("Over HTTP, pages a second", results.rounds), ("Rendered, pages a second", results.rendered_rounds)]:
        runs = list(by_candidate(rounds))
        if runs:
            parts.append(group(title, runs, top))
            top += TITLE + len(runs) * (BAR + GAP) + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def group(title: str, candidates: list[tuple[str, list[Run]]], top: int) -> str:
    most = max(run.rate for _, runs in candidates for run in runs)
    scale = (WIDTH - LABELS - VALUES) / most
    ordered = sorted(candidates, key=lambda it: -statistics.median(run.rate for run in it[1]))
    bars = [bar(name, runs, scale, top + TITLE + at * (BAR + GAP)) for at, (name, runs) in enumerate(ordered)]
    return "\n".join([f'<text class="title" x="0" y="{top + 24}">{escape(title)}</text>', *bars])


def bar(name: str, runs: list[Run], scale: float, y: int) -> str:
    rates = [run.rate for run in runs]
    middle = statistics.median(rates)
    kind = "wrong" if not all(run.counts for run in runs) else "ours" if name.startswith("tagpipe") else "theirs"
    low, high, line = LABELS + min(rates) * scale, LABELS + max(rates) * scale, y + BAR / 2
    return "\n".join(
        [
            f'<text x="{LABELS - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{line}" y2="{line}"/>',
            f'<text x="{high + 8:.1f}" y="{y + 15}">{middle:,.1f}</text>',
        ]
    )
