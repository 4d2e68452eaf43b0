"""The measuring half of scripts/bench, which says how to use it."""

import argparse
import signal
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import load
import memory
import probe
import report
from rows import ROWS, NoSuchRow, Row, select
from servers import ServerError, Servers, choose_cores
from stores import NAMES, StoreError


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float
    warm_up: float


FULL = Plan(rounds=5, seconds=1.5, warm_up=0.5)
QUICK = Plan(rounds=3, seconds=0.7, warm_up=0.2)
SMOKE = Plan(rounds=1, seconds=0.1, warm_up=0)


def main() -> None:
    options = parse(sys.argv[1:])
    if options.list:
        for row in ROWS:
            print(f"{row.name:16} {row.text}")
        return
    # Ends the run in order: servers are stopped, files removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    try:
        run(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except (NoSuchRow, ServerError, StoreError, probe.ProbeError, load.LoadError) as error:
        sys.exit(f"bench: {error}")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    plans = parser.add_mutually_exclusive_group()
    plans.add_argument("--quick", dest="plan", action="store_const", const=QUICK, default=FULL)
    plans.add_argument("--smoke", dest="plan", action="store_const", const=SMOKE)
    parser.add_argument("--rounds", type=positive(int))
    parser.add_argument("--seconds", type=positive(float))
    parser.add_argument("--connections", type=positive(int), default=32)
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--load", choices=("other", "same"), default="other")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--module", type=Path)
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--results", type=Path)
    return parser.parse_args(arguments)


def positive(kind: type[int] | type[float]):
    def parse_number(text: str) -> int | float:
        number = kind(text)
        if not 0 < number <= 100_000:
            raise argparse.ArgumentTypeError("use a number above 0")
        return number

    return parse_number


def run(options: argparse.Namespace) -> None:
    rows = select(options.only)
    rounds = options.rounds or options.plan.rounds
    seconds = options.seconds or options.plan.seconds
    cores = choose_cores(options.load == "same", options.workers)
    if cores.are_one and options.load == "other":
        print("bench: there are no other cores: the load runs on those of nginx, as with --load same", file=sys.stderr)
    generator = load.Generator(cores.load, cores.are_one, options.connections, options.workers)
    stores = set(NAMES) if options.memory else {row.store for row in rows if row.store}
    with Servers(options.binary.resolve(), options.module.resolve(), cores, stores) as servers:
        if options.memory:
            print(memory.table(servers, generator, options.module))
            return
        try:
            cookies = probe.make_cookies(servers.probe_port, rows)
            for row in rows:
                probe.check(servers.probe_port, row, next(iter(cookies.get(row.cookie, [])), None))
            measured = measure(servers, generator, rows, cookies, Plan(rounds, seconds, options.plan.warm_up))
        except (probe.ProbeError, load.LoadError):
            print(servers.errors()[-4000:], file=sys.stderr)
            raise
    where = report.circumstances(options.binary, generator, seconds, rounds)
    text = f"{where}\n\n{report.table(rows, measured)}"
    print(text)
    print(f"\nAll figures: {save(options.results, rows, measured, text)}")


def measure(
    servers: Servers, generator: load.Generator, rows: list[Row], cookies: dict[str | None, list[str]], plan: Plan
) -> report.Rounds:
    """All rows in turns, so that a slow moment of the machine meets all alike."""

    def once(row: Row, duration: float) -> load.Measured:
        url = f"http://127.0.0.1:{servers.port}{row.path}"
        return load.measure(servers.workers, lambda: servers.stores.processes(row.store), url, cookies.get(row.cookie, []), generator, duration)

    progress = Progress(len(rows) * (plan.rounds + bool(plan.warm_up)))
    if plan.warm_up:
        for row in rows:
            progress.step("warming up", row)
            once(row, plan.warm_up)
    found: report.Rounds = {row.name: [] for row in rows}
    for number in range(plan.rounds):
        # Back and forth: no row always follows the same one.
        for row in rows if number % 2 == 0 else reversed(rows):
            progress.step(f"round {number + 1} of {plan.rounds}", row)
            found[row.name].append(once(row, plan.seconds))
    progress.end()
    return found


class Progress:
    """One line that changes on a terminal; in a log, one line for each round."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._stage = ""
        self._is_terminal = sys.stderr.isatty()

    def step(self, stage: str, row: Row) -> None:
        self._done += 1
        if self._is_terminal:
            print(f"\r\033[K[{self._done}/{self._steps}] {stage}: {row.text}", end="", file=sys.stderr, flush=True)
        elif stage != self._stage:
            print(stage, file=sys.stderr, flush=True)
        self._stage = stage

    def end(self) -> None:
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def save(folder: Path, rows: list[Row], measured: report.Rounds, text: str) -> Path:
    """Keeps this run's figures beside those of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    (folder / f"{name}.md").write_text(text + "\n", "utf-8")
    path = folder / f"{name}.csv"
    report.write_csv(path, rows, measured)
    return path


if __name__ == "__main__":
    main()
