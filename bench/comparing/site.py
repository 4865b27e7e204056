"""The demo site, in a process of its own."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from . import process

START_LIMIT_S = 120.0


class Site:
    """A demo site that serves while the `with` block lasts."""

    def __init__(self, tagpipe: Path, scratch: Path, pages: int, *options: str) -> None:
        self.command = [str(tagpipe), "demo-site", "--json", "--pages", str(pages), *options]
        self.command += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        self.scratch = scratch

    def __enter__(self) -> "Site":
        log = self.scratch / "site.log"
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                self.command, cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            assert self.process.stdout is not None
            said = json.loads(self.process.stdout.readline() or "null")
            if said is None:
                raise RuntimeError(
                    f"the demo site did not start: `{' '.join(self.command)}`: {log.read_text(errors='replace')}"
                )
            self.url: str = said["site"]
            self.admin: str = said["admin"]
            self.pages: int = said["pages"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()

    def cpu_s(self) -> float:
        return process.cpu_of(self.process.pid)

    def truth(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows that a complete and faultless reading yields."""
        with urllib.request.urlopen(f"{self.admin}/truth/{table}", timeout=START_LIMIT_S) as lines:
            yield from map(json.loads, lines)

    def change(self, settings: dict[str, Any]) -> None:
        self.ask("PUT", "/settings", json.dumps(settings).encode())

    def forget_requests(self) -> None:
        self.ask("DELETE", "/requests")

    def page_requests(self) -> list[float]:
        """When each page was asked for, in seconds, ascending."""
        with urllib.request.urlopen(f"{self.admin}/requests", timeout=START_LIMIT_S) as lines:
            records = [json.loads(line) for line in lines]
        return sorted(record["at_us"] / 1e6 for record in records if record["kind"] == "document")

    def ask(self, method: str, path: str, body: bytes | None = None) -> None:
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.admin + path, body, headers, method=method)
        urllib.request.urlopen(request, timeout=START_LIMIT_S).close()
