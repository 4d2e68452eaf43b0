"""One measurement: load from one core, the CPU time of nginx's workers on the other."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

HERE = Path(__file__).parent
# Longer than any measurement: it is ended by a signal, as wrk itself counts in whole seconds.
WRK_LIMIT = "1h"
# The worker finishes what is under way and closes the connections.
SETTLE = 0.05
# On a busy machine wrk may take that long to start.
LONG_ENOUGH = 2.0


class LoadError(Exception):
    """The load did not go as it should; its figures mean nothing."""


@dataclass(frozen=True)
class Measured:
    """What one measurement found."""

    requests: int
    seconds: float
    cpu_ns: int
    store_ns: int
    """The CPU time of the store's server."""
    p50_us: int
    p99_us: int

    @property
    def us_per_request(self) -> float:
        return self.cpu_ns / self.requests / 1000

    @property
    def store_us_per_request(self) -> float:
        return self.store_ns / self.requests / 1000

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Generator:
    """How wrk is run."""

    cores: list[int]
    beside_nginx: bool
    """On the same cores as nginx."""
    connections: int
    workers: int


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


def measure(
    workers: list[int], store: Callable[[], list[int]], url: str, cookies: list[str], generator: Generator, seconds: float
) -> Measured:
    before, store_before = cpu_of_all(workers), cpu_of_all(store())
    seen = run_wrk(url, cookies, generator, seconds)
    if seen == NOTHING and seconds < LONG_ENOUGH:
        return measure(workers, store, url, cookies, generator, LONG_ENOUGH)
    time.sleep(SETTLE)
    failed = seen.broken + seen.refused
    if failed or not seen.requests:
        raise LoadError(f"{url}: {seen.requests} requests, {failed} of them failed")
    used = cpu_of_all(workers) - before
    # A server may have started processes meanwhile, and ended some.
    store_used = max(cpu_of_all(store()) - store_before, 0)
    return Measured(seen.requests, seen.duration_us / 1e6, used, store_used, seen.p50_us, seen.p99_us)


def cpu_of_all(processes: list[int]) -> int:
    return sum(cpu_ns(process) for process in processes if Path(f"/proc/{process}").exists())


def run_wrk(url: str, cookies: list[str], generator: Generator, seconds: float) -> Seen:
    command = ["taskset", "-c", ",".join(map(str, generator.cores))]
    if generator.beside_nginx:
        # A batch process does not push nginx off the core with every response.
        command += ["chrt", "--batch", "0"]
    command += ["wrk", f"-t{generator.workers}", f"-c{generator.connections}", "-d", WRK_LIMIT, "-s", str(HERE / "count.lua")]
    if len(cookies) == 1:
        command += ["-H", f"Cookie: {cookies[0]}"]
    with NamedTemporaryFile("w", encoding="utf-8") as file:
        environment = dict(os.environ)
        if len(cookies) > 1:
            file.writelines(f"{cookie}\n" for cookie in cookies)
            file.flush()
            environment["BENCH_COOKIES"] = file.name
        return watch(command + [url], environment, seconds)


def watch(command: list[str], environment: dict[str, str], seconds: float) -> Seen:
    wrk = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        time.sleep(seconds)
        wrk.send_signal(signal.SIGINT)
        said, _ = wrk.communicate(timeout=30)
    finally:
        if wrk.poll() is None:
            wrk.kill()
            wrk.wait()
    for line in said.splitlines():
        if line.startswith("counted "):
            seen = Seen(*(int(number) for number in line.split()[1:]))
            return seen if seen.requests or seen.broken else NOTHING
    if wrk.returncode == -signal.SIGINT:
        return NOTHING  # ended before it had begun
    raise LoadError(f"wrk did not run to its end:\n{said}")


def cpu_ns(process: int) -> int:
    """The CPU time that all threads of a process have used."""
    try:
        return sum(int(times.read_text().split()[0]) for times in Path(f"/proc/{process}/task").glob("*/schedstat"))
    except OSError:
        pass
    # Not every kernel counts nanoseconds; ticks do for runs of seconds.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
