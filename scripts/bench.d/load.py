"""One measurement: load from one core, the CPU time of the nginx worker on the other."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# Longer than any measurement: it is ended by a signal, as wrk itself counts in whole seconds.
WRK_LIMIT = "1h"
# The worker finishes what is under way and closes the connections.
SETTLE = 0.05


class LoadError(Exception):
    """The load did not go as it should; its figures mean nothing."""


@dataclass(frozen=True)
class Measured:
    """What one measurement found."""

    requests: int
    seconds: float
    cpu_ns: int
    p50_us: int
    p99_us: int

    @property
    def us_per_request(self) -> float:
        return self.cpu_ns / self.requests / 1000

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Generator:
    """How wrk is run."""

    core: int
    beside_nginx: bool
    """On the same core as nginx."""
    connections: int


def measure(worker: int, url: str, cookie: str | None, generator: Generator, seconds: float) -> Measured:
    before = cpu_ns(worker)
    requests, duration_us, errors, p50, p99 = run_wrk(url, cookie, generator, seconds)
    time.sleep(SETTLE)
    used = cpu_ns(worker) - before
    if errors or not requests:
        raise LoadError(f"{url}: {requests} requests, {errors} of them failed")
    return Measured(requests, duration_us / 1e6, used, p50, p99)


def run_wrk(url: str, cookie: str | None, generator: Generator, seconds: float) -> list[int]:
    command = ["taskset", "-c", str(generator.core)]
    if generator.beside_nginx:
        # A batch process does not push nginx off the core with every response.
        command += ["chrt", "--batch", "0"]
    command += ["wrk", "-t1", f"-c{generator.connections}", "-d", WRK_LIMIT, "-s", str(HERE / "count.lua")]
    if cookie:
        command += ["-H", f"Cookie: {cookie}"]
    wrk = subprocess.Popen(command + [url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
            return [int(number) for number in line.split()[1:]]
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
