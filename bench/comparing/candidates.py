"""Who is compared: how each is installed and started, and what it does and does not do."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
PYTHON = BENCH / "alternatives" / "python"
NODE = BENCH / "alternatives" / "node"
INSTALL_LIMIT_S = 300
SCRAPY_VERSION = """
import platform, lxml, scrapy
print(f"Scrapy {scrapy.__version__}, lxml {lxml.__version__}, Python {platform.python_version()}")
"""
BROWSERS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]


@dataclass(frozen=True)
class Reading:
    """One reading that a candidate is asked for."""

    url: str
    """Origin of the site."""
    folder: Path
    """Where it runs and leaves its rows: `rows.jsonl`, or tagpipe its `tagpipe.db`."""
    concurrency: int
    delay_s: float = 0.0

    @property
    def rows(self) -> Path:
        return self.folder / "rows.jsonl"

    @property
    def database(self) -> Path:
        return self.folder / "tagpipe.db"


@dataclass(frozen=True)
class Candidate:
    name: str
    version: str
    rendered: bool
    """Whether it reads pages that a script paints."""
    repeats: str
    """What it does about failed pages."""
    keeps: str
    """What it keeps, and how safely."""
    note: str
    command: Callable[[Reading], list[str]]
    tried: tuple[int, ...] = (8, 16, 32, 64)
    """Numbers of pages in hand of which the fastest is used."""

    @property
    def is_tagpipe(self) -> bool:
        return self.name.startswith("tagpipe")


@dataclass(frozen=True)
class Field:
    """Who takes part, and who does not and why."""

    candidates: list[Candidate]
    absent: dict[str, str]


def gather(tagpipe: Path, bare: Path) -> Field:
    """Installs what is missing and says who can take part."""
    field = Field([], {})
    browser = next(filter(None, map(shutil.which, [os.environ.get("CHROMIUM", ""), *BROWSERS])), None)
    add_ours(field, tagpipe, bare)
    add_scrapy(field)
    node = installed(field, "Crawlee", install_node)
    if node:
        add_crawlee(field)
    if not browser:
        field.absent["rendered pages"] = "no Chromium; `apt-get install chromium-headless-shell`"
        return field
    # tagpipe looks there first.
    os.environ["CHROMIUM"] = browser
    add_rendered_tagpipe(field, tagpipe, browser)
    if shutil.which("node"):
        add_tabs(field, browser)
    if node:
        add_rendered(field, browser)
    return field


def add_ours(field: Field, tagpipe: Path, bare: Path) -> None:
    field.candidates.append(
        Candidate(
            name="tagpipe",
            version=first_line([str(tagpipe), "--version"]),
            rendered=False,
            repeats="4 reads of a page, refusals apart; brake; sums verified",
            keeps="SQLite, each group of pages on disk before it counts; history, audit trail, frontier",
            note="obeys robots.txt, resumes, leaves out what has not changed",
            command=lambda reading: tagpipe_command(tagpipe, "http", reading),
        )
    )
    if bare.exists():
        field.candidates.append(
            Candidate(
                name="bare loop",
                version="reqwest and html5gum, as tagpipe has them",
                rendered=False,
                repeats="nothing",
                keeps="lines of JSON",
                note="the ceiling: knows the columns by heart, builds no tree, checks nothing, all cores",
                command=lambda reading: [str(bare), *common(reading)],
            )
        )
    else:
        field.absent["bare loop"] = f"`{bare}` is not there"


def add_rendered_tagpipe(field: Field, tagpipe: Path, browser: str) -> None:
    field.candidates.append(
        Candidate(
            name="tagpipe, rendered",
            version=first_line([browser, "--version"]),
            rendered=True,
            repeats="4 reads of a page, refusals apart; brake; sums verified",
            keeps="SQLite, as above",
            note="a pool of tabs; blocks pictures, fonts and trackers; keeps to the site's origin",
            command=lambda reading: tagpipe_command(tagpipe, "browser", reading),
        )
    )


def add_scrapy(field: Field) -> None:
    python = PYTHON / "venv" / "bin" / "python"
    if installed(field, "Scrapy", install_python):
        field.candidates.append(
            Candidate(
                name="Scrapy",
                version=first_line([str(python), "-c", SCRAPY_VERSION]),
                rendered=False,
                repeats="4 reads of a page: refusals, broken answers, not-found screens, missing rows",
                keeps="lines of JSON",
                note="asyncio reactor, parsel; one process, so one core; obeys robots.txt",
                command=lambda reading: [str(python), str(PYTHON / "report.py"), *common(reading)],
                tried=(16, 32, 64, 100),
            )
        )


def add_crawlee(field: Field) -> None:
    field.candidates.append(
        Candidate(
            name="Crawlee, Cheerio",
            version=f"{package_version('@crawlee/cheerio')}, Node {first_line(['node', '--version'])}",
            rendered=False,
            repeats="4 reads of a page: refusals, broken answers, not-found screens, missing rows",
            keeps="lines of JSON; its queue in memory",
            note="one process, so about one core; obeys robots.txt",
            command=lambda reading: ["node", str(NODE / "cheerio.mjs"), *common(reading)],
        )
    )


def add_tabs(field: Field, browser: str) -> None:
    field.candidates.append(
        Candidate(
            name="bare tabs",
            version=f"Chromium's protocol over a pipe, Node {first_line(['node', '--version'])}",
            rendered=True,
            repeats="nothing",
            keeps="lines of JSON",
            note="the ceiling of rendered pages: tabs stay open, rows are read in the page; pictures and fonts off",
            command=rendered_command("tabs.mjs", browser),
        )
    )


def add_rendered(field: Field, browser: str) -> None:
    field.candidates.extend(
        [
            Candidate(
                name="Crawlee, Playwright",
                version=f"{package_version('@crawlee/playwright')}, Playwright {package_version('playwright')}",
                rendered=True,
                repeats="4 reads of a page: refusals, broken answers, not-found screens, missing rows",
                keeps="lines of JSON; its queue in memory",
                note="a tab for each page; waits for the rows; blocks pictures, fonts and trackers; obeys robots.txt",
                command=rendered_command("playwright.mjs", browser),
            ),
            Candidate(
                name="a browser for each page",
                version=f"Playwright {package_version('playwright')}",
                rendered=True,
                repeats="nothing",
                keeps="lines of JSON",
                note="the floor: starts a browser for each page and waits until the network is idle",
                command=rendered_command("naive.mjs", browser),
            ),
        ]
    )


def rendered_command(script: str, browser: str) -> Callable[[Reading], list[str]]:
    return lambda reading: ["node", str(NODE / script), *common(reading), "--browser", browser]


def tagpipe_command(tagpipe: Path, fetch: str, reading: Reading) -> list[str]:
    return [
        *[str(tagpipe), "run", "--json", "--quiet", "--fetch", fetch, "--base-url", reading.url],
        *[
            "--database-url",
            f"sqlite:{reading.database}",
            "--concurrency",
            str(reading.concurrency),
            "--delay",
            str(reading.delay_s),
        ],
    ]


def common(reading: Reading) -> list[str]:
    return [
        *["--url", reading.url, "--out", str(reading.rows)],
        *["--concurrency", str(reading.concurrency), "--delay", str(reading.delay_s)],
    ]


def installed(field: Field, name: str, install: Callable[[], None]) -> bool:
    """Whether it could be installed; why not is noted."""
    try:
        install()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        field.absent[name] = said.strip().splitlines()[-1][:200] if said.strip() else type(error).__name__
        return False
    return True


def install_python() -> None:
    folder, wanted = PYTHON / "venv", PYTHON / "requirements.txt"
    if is_installed(folder, wanted):
        return
    say("installing Scrapy")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    quietly([str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input", "-q", "-r", str(wanted)])
    mark_installed(folder, wanted)


def install_node() -> None:
    folder, wanted = NODE / "node_modules", NODE / "package-lock.json"
    if is_installed(folder, wanted):
        return
    say("installing Crawlee")
    quietly(["npm", "ci", "--no-audit", "--no-fund", "--prefix", str(NODE)], PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD="1")
    mark_installed(folder, wanted)


def is_installed(folder: Path, wanted: Path) -> bool:
    mark = folder / ".installed"
    return mark.exists() and mark.read_text() == fingerprint(wanted)


def mark_installed(folder: Path, wanted: Path) -> None:
    (folder / ".installed").write_text(fingerprint(wanted))


def fingerprint(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def quietly(command: list[str], **environment: str) -> None:
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=INSTALL_LIMIT_S,
        env={**os.environ, **environment},
    )


def package_version(name: str) -> str:
    version = json.loads((NODE / "node_modules" / name / "package.json").read_text())["version"]
    return f"{name} {version}" if name.startswith("@") else version


def first_line(command: list[str]) -> str:
    output = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60).stdout
    return output.strip().splitlines()[0].strip()


def say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)
