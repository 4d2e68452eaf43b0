"""The measuring half of scripts/bench, which says how to use it."""

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import against
import load
import memory
import probe
import profile_rows
import report
import scale
from load import Situation
from measure import Plan, Rounds, Site, Unit, describe, run
from rows import ROWS, TRAITS, NoSuchRow, Row, select
from servers import ServerError, Servers, choose_cores
from stores import NAMES, StoreError

USUAL = Situation()


@dataclass(frozen=True)
class Extent:
    """How much one command measures."""

    plan: Plan
    connections: tuple[int, ...] = ()
    """Beside the usual ones, for the rows that stand for the others."""
    workers: tuple[int, ...] = (1,)
    rate: int | None = None
    """For latencies at an equal load."""
    with_memory: bool = False


FULL = Extent(Plan(rounds=5, seconds=1, warm_up=0.3), (1, 8, 32, 256), (1, 2), 4000, True)
QUICK = Extent(Plan(rounds=2, seconds=0.4, warm_up=0))
SMOKE = Extent(Plan(rounds=1, seconds=0.1, warm_up=0), (1, 32), (1, 2), 4000)


def main() -> None:
    options = parse(sys.argv[1:])
    if options.list:
        for row in ROWS:
            print(f"{row.name:20} {row.text}")
        return
    # Ends the run in order: servers are stopped, files removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    try:
        if options.memory:
            print(weigh(options))
        elif options.profile:
            print(look_into(options))
        elif options.scale:
            scale.run(options, (options.extent or FULL).plan, options.extent is SMOKE)
        else:
            compare(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except (NoSuchRow, ServerError, StoreError, probe.ProbeError, load.LoadError, against.AgainstError, profile_rows.ProfileError, scale.ScaleError) as error:
        sys.exit(f"bench: {error}")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    extents = parser.add_mutually_exclusive_group()
    extents.add_argument("--quick", dest="extent", action="store_const", const=QUICK)
    extents.add_argument("--smoke", dest="extent", action="store_const", const=SMOKE)
    parser.add_argument("--rounds", type=positive(int))
    parser.add_argument("--seconds", type=positive(float))
    parser.add_argument("--connections", type=numbers)
    parser.add_argument("--workers", type=numbers)
    parser.add_argument("--rate", type=positive(int))
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--memory", action="store_true")
    modes.add_argument("--scale", action="store_true")
    modes.add_argument("--profile", action="store_true")
    modes.add_argument("--list", action="store_true")
    parser.add_argument("--load", choices=("other", "same"), default="other")
    parser.add_argument("--only", action="append", default=[])
    against.add_options(parser)
    parser.add_argument("--module", type=Path)
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args(arguments)
    if options.workers and not set(options.workers) <= {1, 2}:
        parser.error("--workers: 1, 2 or 1,2")
    return options


def positive(kind: type[int] | type[float]):
    def parse_number(text: str) -> int | float:
        number = kind(text)
        if not 0 < number <= 100_000:
            raise argparse.ArgumentTypeError("use a number above 0")
        return number

    return parse_number


def numbers(text: str) -> tuple[int, ...]:
    return tuple(positive(int)(word) for word in text.split(","))


def weigh(options: argparse.Namespace) -> str:
    cores = choose_cores(options.load == "same", 1)
    with Servers(options.binary.resolve(), options.module.resolve(), cores, set(NAMES)) as servers:
        return memory.table(servers, load.Generator(cores.load, cores.are_one), options.module)


def look_into(options: argparse.Namespace) -> str:
    cores = choose_cores(options.load == "same", 1)
    rows = select(options.only)
    with Servers(options.binary.resolve(), options.module.resolve(), cores, {row.store for row in rows if row.store}) as servers:
        generator = load.Generator(cores.load, cores.are_one)
        table = profile_rows.table(servers, rows, generator, chosen(options).plan)
    return f"{report.circumstances(options.binary)}; {conditions(USUAL, options)}\n\n{table}"


def compare(options: argparse.Namespace) -> None:
    """Every row and its control, in one run."""
    extent = chosen(options)
    rows = select(options.only)
    others = {server.name: server for server in options.against}
    for server in others.values():
        server.probe()
        rows += server.rows()
    course = course_of(options, extent, rows)
    with ExitStack() as stack:
        sites = {count: start(stack, options, count, course.units) for count in sorted({each.workers for _, each in course.units})}
        rounds = run(course.units, extent.plan, sites, others)
        notes = [note for site in sites.values() for note in core_notes(site, others)]
    where = f"{report.circumstances(options.binary)}, {extent.plan.rounds} rounds of {extent.plan.seconds:g} s"
    sections = tables(course, rounds, options, where)
    if extent.with_memory and course.grid and not options.only:
        sections.append(f"Memory:\n\n{weigh(options)}")
    text = "\n\n".join(sections + notes)
    print(text)
    drawn = report.charts(rows, course.traits, rounds, course.whole[0], course.grid)
    print(f"\nAll figures: {report.save(options.results, rows, rounds, text, drawn, where)}")


@dataclass(frozen=True)
class Course:
    """What is measured in which situation."""

    rows: list[Row]
    whole: list[Situation]
    """All rows."""
    traits: list[Row]
    """Those that stand for the others."""
    grid: list[Situation]
    equal: Situation | None
    """That of the equal load."""

    @property
    def units(self) -> list[Unit]:
        few = self.grid + ([self.equal] if self.equal else [])
        units = [(row, each) for each in self.whole for row in self.rows] + [(row, each) for each in few for row in self.traits]
        return list({(row.name, situation): (row, situation) for row, situation in units}.values())


def course_of(options: argparse.Namespace, extent: Extent, rows: list[Row]) -> Course:
    if options.connections or options.workers or options.rate:
        pairs = [(workers, many) for workers in options.workers or (1,) for many in options.connections or (USUAL.connections,)]
        return Course(rows, [Situation(workers, many, options.rate) for workers, many in pairs], [], [], None)
    cores = len(os.sched_getaffinity(0))
    grid = [Situation(workers, many) for workers in extent.workers if workers <= cores for many in extent.connections]
    traits = [row for row in rows if row.name in TRAITS or row.server]
    return Course(rows, [USUAL], traits, grid, replace(USUAL, rate=extent.rate) if extent.rate else None)


def tables(course: Course, rounds: Rounds, options: argparse.Namespace, where: str) -> list[str]:
    sections = [f"{where}; {conditions(each, options)}\n\n{report.table(course.rows, rounds, each)}" for each in course.whole]
    if course.grid and course.traits:
        sections.append(f"By workers × connections:\n\n{report.by_connections(course.traits, rounds, course.grid)}")
    if course.equal and course.traits:
        equal = report.equal_load(course.traits, rounds, course.equal)
        sections.append(f"At an equal load, {conditions(course.equal, options)}:\n\n{equal}")
    if USUAL in course.whole and (targets := report.against_targets(course.rows, rounds, USUAL, course.traits, course.equal)):
        sections.append(f"Against the targets:\n\n{targets}")
    return sections


def chosen(options: argparse.Namespace) -> Extent:
    extent = options.extent or FULL
    plan = extent.plan
    return replace(extent, plan=replace(plan, rounds=options.rounds or plan.rounds, seconds=options.seconds or plan.seconds))


def start(stack: ExitStack, options: argparse.Namespace, workers: int, units: list[Unit]) -> Site:
    """An nginx with so many workers, and the cookies of its rows."""
    own = list({row.name: row for row, each in units if each.workers == workers and row.server is None}.values())
    cores = choose_cores(options.load == "same", workers)
    if cores.are_one and options.load == "other" and workers == 1:
        print("bench: there are no other cores: the load runs on those of nginx, as with --load same", file=sys.stderr)
    stores = {row.store for row in own if row.store}
    servers = stack.enter_context(Servers(options.binary.resolve(), options.module.resolve(), cores, stores))
    cookies = probe.make_cookies(servers.probe_port, own)
    return Site(servers, load.Generator(cores.load, cores.are_one), cookies, own)


def conditions(situation: Situation, options: argparse.Namespace) -> str:
    cores = choose_cores(options.load == "same", situation.workers)
    few = situation.workers == 1
    if cores.are_one:
        core = "the same core" if few else "the same cores"
    else:
        core = "another core" if few else "other cores"
    return f"{describe(situation)}, load from {core}"


def core_notes(site: Site, others: dict[str, against.Foreign]) -> list[str]:
    """Figures of servers on different cores do not compare well."""
    own = site.servers.cores.measured
    return [
        f"{server.name} may run on the cores {server.cores()}, the nginx of this run on {own}: start it with taskset to compare both."
        for server in others.values()
        if server.cores() not in ([], own) and len(own) == 1
    ]


if __name__ == "__main__":
    main()
