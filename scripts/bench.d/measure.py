"""The run: everything that is to be measured takes its turns."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

import probe
from against import Foreign
from load import Generator, LoadError, Measured, Situation, Target, cpu_of_all, measure, resident
from rows import Row
from servers import Servers

Unit = tuple[Row, Situation]
Rounds = dict[tuple[str, Situation], list[Measured]]
"""By the row's name: what each round found."""


@dataclass(frozen=True)
class Plan:
    """How long each is measured, and how often."""

    rounds: int
    seconds: float
    warm_up: float


@dataclass(frozen=True)
class Site:
    """A server that runs, and what it is asked with."""

    servers: Servers
    generator: Generator
    cookies: Mapping[str, list[str]]
    rows: list[Row]
    """Those whose work it does."""

    def check(self) -> None:
        """Whether each row does what it is called, with the first and with the last of its sessions."""
        for row in self.rows:
            cookies = self.cookies[row.cookie] if row.cookie else []
            for cookie in {cookies[0], cookies[-1]} if cookies else {None}:
                probe.check(self.servers.probe_port, row, cookie)

    def target(self, row: Row, foreign: Mapping[str, Foreign]) -> Target:
        if row.server is not None:
            return foreign[row.server].target(row.path)
        workers, stores = self.servers.workers, self.servers.stores
        return Target(
            f"http://127.0.0.1:{self.servers.port}{row.path}",
            self.cookies[row.cookie] if row.cookie else [],
            lambda: cpu_of_all(workers),
            lambda: cpu_of_all(stores.processes(row.store)),
            lambda: round(mean(resident(worker).all_kb for worker in workers)),
        )


def run(units: list[Unit], plan: Plan, sites: Mapping[int, Site], foreign: Mapping[str, Foreign]) -> Rounds:
    """Measures `units`. The sites, by the number of their workers, are asked before and after whether they do what they should:
    a store may lose a session meanwhile, and then another work was measured."""
    try:
        for site in sites.values():
            site.check()
        rounds = take_turns(units, plan, sites, foreign)
        for site in sites.values():
            site.check()
        return rounds
    except (probe.ProbeError, LoadError):
        print(*(site.servers.errors()[-4000:] for site in sites.values()), file=sys.stderr)
        raise


def take_turns(units: list[Unit], plan: Plan, sites: Mapping[int, Site], foreign: Mapping[str, Foreign]) -> Rounds:
    """All in turns, so that a slow moment of the machine meets all alike."""

    def once(unit: Unit, seconds: float) -> Measured:
        row, situation = unit
        site = sites[situation.workers]
        return measure(site.target(row, foreign), site.generator, situation, seconds)

    progress = Progress(len(units) * (plan.rounds * plan.seconds + plan.warm_up))
    if plan.warm_up:
        for unit in units:
            progress.step("warming up", unit, plan.warm_up)
            once(unit, plan.warm_up)
    found: Rounds = {(row.name, situation): [] for row, situation in units}
    for number in range(plan.rounds):
        # Back and forth: none always follows the same one.
        for unit in units if number % 2 == 0 else reversed(units):
            progress.step(f"round {number + 1} of {plan.rounds}", unit, plan.seconds)
            row, situation = unit
            found[row.name, situation].append(once(unit, plan.seconds))
    progress.end()
    return found


class Progress:
    """One line that changes on a terminal; in a log, one line for each round."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        """Of load, in the whole run; what is around it takes time as well."""
        self._done = 0.0
        self._began = time.monotonic()
        self._stage = ""
        self._is_terminal = sys.stderr.isatty()

    def step(self, stage: str, unit: Unit, seconds: float) -> None:
        left = self._left()
        row, situation = unit
        if self._is_terminal:
            line = f"[{self._done / self._seconds:4.0%}{left}] {stage}: {row.text}, {describe(situation)}"
            print(f"\r\033[K{line[: os.get_terminal_size(2).columns - 1]}", end="", file=sys.stderr, flush=True)
        elif stage != self._stage:
            print(f"{stage}{left}", file=sys.stderr, flush=True)
        self._stage = stage
        self._done += seconds

    def end(self) -> None:
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _left(self) -> str:
        if not self._done:
            return ""
        seconds = (time.monotonic() - self._began) * (self._seconds / self._done - 1)
        return f", {seconds / 60:.0f} min left" if seconds > 90 else f", {seconds:.0f} s left"


def describe(situation: Situation) -> str:
    workers = "1 worker" if situation.workers == 1 else f"{situation.workers} workers"
    connections = "1 connection" if situation.connections == 1 else f"{situation.connections} connections"
    rate = f" at {situation.rate:,} requests/s" if situation.rate else ""
    return f"{workers}, {connections}{rate}"
