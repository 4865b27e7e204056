"""Runs a command and measures it with everything that it starts: time, CPU, memory.

Who measures adopts the orphans of what is measured (a subreaper, prctl(2)), so that also the processor time of a browser whose
starter went first is counted, and nothing is left running.
"""

import ctypes
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
# Least seconds between two looks at the memory. Looking takes at most a twentieth of one core, whatever is looked at.
LOOK_EVERY_S = 0.1
LOOKING_SHARE = 0.05
# Seconds between asking and killing.
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Measured:
    """One command from its start to its exit."""

    wall_s: float
    cpu_s: float
    """User and system time of all its processes."""
    peak_bytes: int
    """Most that all its processes took at a time: the sum of their PSS, or the resident peak of the largest if that is more."""
    exit_code: int
    stopped: bool
    """Whether it was ended because its time was up."""


def adopt_orphans() -> None:
    """Makes this process the parent of all that its children leave behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def measure(
    command: list[str], folder: Path, environment: dict[str, str], log: Path, limit_s: float, others: set[int]
) -> Measured:
    """Runs `command` in `folder`, at most `limit_s` seconds. `others` are children of this process that it is not about."""
    before = cpu_of_the_reaped()
    peak = 0
    began = time.monotonic()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True
        )
    end = os.pidfd_open(process.pid)
    try:
        pause, looking = LOOK_EVERY_S / 4, True
        while looking:
            looking = not has_ended(end, min(pause, max(0.0, began + limit_s - time.monotonic())))
            looked = time.monotonic()
            if looking and looked - began >= limit_s:
                break
            peak = max(peak, memory_of(others)) if looking else peak
            pause = max(LOOK_EVERY_S, (time.monotonic() - looked) / LOOKING_SHARE)
        wall = time.monotonic() - began
    finally:
        # Asked first, so that it can remove what it keeps elsewhere: a browser's profile.
        if process.poll() is None:
            process.terminate()
            has_ended(end, PATIENCE_S)
            process.kill()
        exit_code = process.wait()
        os.close(end)
        end_the_rest(others)
    return Measured(wall, cpu_of_the_reaped() - before, peak, exit_code, looking)


def has_ended(pidfd: int, within_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def cpu_of_the_reaped() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(pid: int) -> float:
    """CPU seconds of a process that runs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def descendants(others: set[int]) -> Iterator[int]:
    waiting = [pid for pid in children_of(os.getpid()) if pid not in others]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children_of(pid)


def memory_of(others: set[int]) -> int:
    pids = list(descendants(others))
    shared = sum(kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in pids)
    largest = max((kilobytes(f"/proc/{pid}/status", "VmHWM:") for pid in pids), default=0)
    return 1024 * max(shared, largest)


def kilobytes(file: str, label: str) -> int:
    with suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(label):
                return int(line.split()[1])
    return 0


def end_the_rest(others: set[int]) -> None:
    """Waits a moment for what was left behind, then kills it, and reaps it so that its CPU time is counted."""
    deadline = time.monotonic() + PATIENCE_S
    while rest := [pid for pid in children_of(os.getpid()) if pid not in others]:
        if time.monotonic() > deadline:
            for pid in list(descendants(others)):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        for pid in rest:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
