"""One measurement: load from one core, the CPU time of a server on the other."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile

HERE = Path(__file__).parent
# Longer than any measurement: it is ended by a signal, as wrk itself counts in whole seconds.
WRK_LIMIT = "1h"
# The worker finishes what is under way and closes the connections.
SETTLE = 0.05
# On a busy machine wrk may take that long to start.
LONG_ENOUGH = 2.0
SIGNALS = 15
SIGNAL_PAUSE = 2.0


class LoadError(Exception):
    """The load did not go as it should; its figures mean nothing."""


@dataclass(frozen=True)
class Situation:
    """How much comes at once, and to how many workers."""

    workers: int = 1
    connections: int = 32
    rate: int | None = None
    """Requests a second; none: each connection asks again as soon as it is answered."""


@dataclass(frozen=True)
class Generator:
    """How wrk is run."""

    cores: list[int]
    beside_nginx: bool
    """On the same cores as nginx."""


@dataclass(frozen=True)
class Target:
    """What is asked, and whose work is counted."""

    url: str
    cookies: list[str] = field(default_factory=list)
    cpu_ns: Callable[[], int | None] = lambda: None
    store_ns: Callable[[], int] = lambda: 0
    resident_kb: Callable[[], int | None] = lambda: None


@dataclass(frozen=True)
class Measured:
    """What one measurement found. Another server's CPU time and memory may be unknown."""

    requests: int
    seconds: float
    cpu_ns: int | None
    store_ns: int
    """The CPU time of the store's server."""
    p50_us: int
    p99_us: int
    resident_kb: int | None

    @property
    def us_per_request(self) -> float | None:
        return None if self.cpu_ns is None else self.cpu_ns / self.requests / 1000

    @property
    def store_us_per_request(self) -> float:
        return self.store_ns / self.requests / 1000

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Seen:
    """What wrk saw."""

    requests: int
    duration_us: int
    broken: int
    """Connections that failed, and requests without a response in time."""
    refused: int
    """Responses with another status than 2xx and 3xx."""
    p50_us: int
    p99_us: int


NOTHING = Seen(0, 0, 0, 0, 0, 0)


def measure(target: Target, generator: Generator, situation: Situation, seconds: float) -> Measured:
    before, store_before = target.cpu_ns(), target.store_ns()
    seen = run_wrk(target, generator, situation, seconds)
    if seen == NOTHING and seconds < LONG_ENOUGH:
        return measure(target, generator, situation, LONG_ENOUGH)
    time.sleep(SETTLE)
    failed = seen.broken + seen.refused
    if failed or not seen.requests:
        raise LoadError(f"{target.url}: {seen.requests} requests, {failed} of them failed")
    after = target.cpu_ns()
    used = None if after is None or before is None else after - before
    # A server may have started processes meanwhile, and ended some.
    store_used = max(target.store_ns() - store_before, 0)
    return Measured(seen.requests, seen.duration_us / 1e6, used, store_used, seen.p50_us, seen.p99_us, target.resident_kb())


def run_wrk(target: Target, generator: Generator, situation: Situation, seconds: float) -> Seen:
    command = ["taskset", "-c", ",".join(map(str, generator.cores))]
    if generator.beside_nginx:
        # A batch process does not push nginx off the core with every response.
        command += ["chrt", "--batch", "0"]
    threads = min(situation.workers, situation.connections)
    command += ["wrk", f"-t{threads}", f"-c{situation.connections}", "-d", WRK_LIMIT, "-s", str(HERE / "count.lua")]
    environment = dict(os.environ)
    if situation.rate:
        environment["BENCH_PAUSE_MS"] = str(1000 * situation.connections / situation.rate)
    if len(target.cookies) == 1:
        command += ["-H", f"Cookie: {target.cookies[0]}"]
    with NamedTemporaryFile("w", encoding="utf-8") as file:
        if len(target.cookies) > 1:
            file.writelines(f"{cookie}\n" for cookie in target.cookies)
            file.flush()
            environment["BENCH_COOKIES"] = file.name
        return watch(command + [target.url], environment, seconds)


def watch(command: list[str], environment: dict[str, str], seconds: float) -> Seen:
    wrk = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        time.sleep(seconds)
        said, signals = end(wrk)
    finally:
        if wrk.poll() is None:
            wrk.kill()
            wrk.wait()
    for line in said.splitlines():
        if line.startswith("counted "):
            seen = Seen(*(int(number) for number in line.split()[1:]))
            # What was told to end before it listened has stopped its load long before its clock.
            ended_early = signals > 1 and seconds < LONG_ENOUGH
            return seen if (seen.requests or seen.broken) and not ended_early else NOTHING
    if wrk.returncode == -signal.SIGINT:
        return NOTHING  # ended before it had begun
    raise LoadError(f"wrk did not run to its end:\n{said}")


def end(wrk: subprocess.Popen[str]) -> tuple[str, int]:
    """What it says at its end, and how many signals that took: the first is without effect if wrk has only just started."""
    for count in range(1, SIGNALS + 1):
        wrk.send_signal(signal.SIGINT)
        try:
            said, _ = wrk.communicate(timeout=SIGNAL_PAUSE)
            return said, count
        except subprocess.TimeoutExpired:
            continue
    raise LoadError(f"wrk did not end within {SIGNALS * SIGNAL_PAUSE:.0f} s")


def cpu_of_all(processes: list[int]) -> int:
    return sum(cpu_ns(process) for process in processes if Path(f"/proc/{process}").exists())


def cpu_ns(process: int) -> int:
    """The CPU time that all threads of a process have used."""
    try:
        return sum(int(times.read_text().split()[0]) for times in Path(f"/proc/{process}/task").glob("*/schedstat"))
    except OSError:
        pass
    # Not every kernel counts nanoseconds; ticks do for runs of seconds.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Resident:
    """A process's memory, without zones of shared memory."""

    own_kb: int
    """What each further process takes."""
    files_kb: int
    """Pages of files, which all processes share."""

    @property
    def all_kb(self) -> int:
        return self.own_kb + self.files_kb


def resident(process: int) -> Resident:
    fields = dict(re.findall(r"^(Rss\w+):\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE))
    return Resident(int(fields["RssAnon"]), int(fields["RssFile"]))
