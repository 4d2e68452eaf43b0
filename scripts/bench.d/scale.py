"""How the cost of a session grows: with the sessions there are, with their size, with cookies, with a store's distance."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median

import load
import probe
import report
from load import Situation
from measure import Plan, Rounds, Site, Unit
from measure import run as measure_all
from plot import Axis, Line, Lines
from rows import Row
from servers import HERE, Configuration, Servers, choose_cores, maker
from stores import Stores, redis_backend

MANY = 64
"""Sessions that requests take turns with; more where more requests than that wait for a store."""

FEW = 2_000
"""So many sessions are made by single requests."""

PORTION = 20_000
"""More sessions than the shortest load makes."""


class ScaleError(Exception):
    """What should be measured could not be made."""


@dataclass(frozen=True)
class Extent:
    sessions: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    bytes: tuple[int, ...] = (100, 1_000, 10_000, 100_000, 1_000_000)
    cookies: tuple[int, ...] = (1, 3, 10, 30, 100)
    milliseconds: tuple[int, ...] = (1, 10, 30)
    connections: tuple[int, ...] = (8, 32, 128, 512)


SMALL = Extent((1_000, 3_000), (100, 100_000), (1, 30), (10,), (8, 32))


@dataclass(frozen=True)
class Series:
    """One line of a table and of a chart: units at growing numbers."""

    text: str
    points: list[tuple[int, Unit]]
    ideal: Callable[[int], float] | None = None
    """What could be reached at most."""


@dataclass(frozen=True)
class Question:
    """One thing that grows."""

    title: str
    grows: str
    """What the numbers count."""
    series: list[Series]
    controls: list[Unit]
    is_rate: bool = False
    """Whether requests a second are looked at; else CPU time over control."""
    is_log: bool = False
    configuration: Callable[[Stores], Configuration] = field(default=lambda _: Configuration())
    prepare: Callable[[Servers, load.Generator, dict[str, list[str]]], None] = lambda *_: None
    """Makes the cookies."""


def run(options: argparse.Namespace, plan: Plan, is_smoke: bool) -> None:
    plan = replace(plan, rounds=options.rounds or min(plan.rounds, 3), seconds=options.seconds or plan.seconds)
    extent = SMALL if is_smoke else Extent()
    with ExitStack() as stack:
        questions = [sessions(extent), sizes(extent), cookies(extent), distances(extent, stack)]
        units = [unit for each in questions for unit in each.controls + [unit for series in each.series for _, unit in series.points]]
        site = start(stack, options, questions)
        rounds = measure_all(units, plan, {1: site}, {})
    where = f"{report.circumstances(options.binary)}, 1 worker, {plan.rounds} rounds of {plan.seconds:g} s"
    text = "\n\n".join([where] + [f"{each.title}\n\n{table(each, rounds)}" for each in questions])
    print(text)
    rows, drawn = [row for row, _ in units], [chart(each, rounds) for each in questions]
    print(f"\nAll figures: {report.save(options.results, rows, rounds, text, drawn, where, '-scale')}")


def start(stack: ExitStack, options: argparse.Namespace, questions: list[Question]) -> Site:
    def more(stores: Stores) -> Configuration:
        parts = [question.configuration(stores) for question in questions]
        return Configuration(*("\n".join(getattr(part, name) for part in parts) for name in ("backends", "locations", "makers")))

    cores = choose_cores(options.load == "same", 1)
    generator = load.Generator(cores.load, cores.are_one)
    servers = stack.enter_context(Servers(options.binary.resolve(), options.module.resolve(), cores, {"shm", "redis"}, more))
    made: dict[str, list[str]] = {}
    for question in questions:
        print(f"preparing: {question.title.lower()}", file=sys.stderr, flush=True)
        question.prepare(servers, generator, made)
    rows = {row.name: row for question in questions for series in question.series for _, (row, _) in series.points}
    return Site(servers, generator, made, list(rows.values()))


def sessions(extent: Extent) -> Question:
    """In a zone with so many sessions; that of the saves holds no more, so each save drops the oldest."""
    usual = Situation()
    rows: dict[str, list[tuple[int, Unit]]] = {"check": [], "save": []}
    backends, locations, makers = [], [], []
    control = Row("among-control", "control", "/control", f"among-{extent.sessions[0]}-check", None, "off")
    for count in extent.sessions:
        # Bytes: a session takes less than 300.
        size = f"size {(count + PORTION) * 400 // 1_000_000 + 1}m;"
        for kind, lines in {"check": f"{size} evict off;", "save": f"{size} max_sessions {count};"}.items():
            name = f"among_{count}_{kind}"
            backends.append(f"session_backend {name} shm {{ {lines} }}")
            locations.append(location(f"/among/{count}/{kind}", name, kind))
            makers.append(maker(f"among-{count}-{kind}", probe_data(), f"session_storage {name};"))
            cookie = f"among-{count}-{kind}"
            row = Row(cookie, f"{kind}, one of {count:,} sessions in shm", f"/among/{count}/{kind}", cookie, control.name, "open", kind == "save")
            rows[kind].append((count, (row, usual)))

    def prepare(servers: Servers, generator: load.Generator, made: dict[str, list[str]]) -> None:
        for count in extent.sessions:
            for kind in rows:
                fill(servers, generator, f"/make/among-{count}-{kind}", count - MANY)
                made[f"among-{count}-{kind}"] = probe.make(servers.probe_port, f"among-{count}-{kind}", MANY)

    return Question(
        "Sessions in shared memory",
        "sessions",
        [Series(f"{kind}, 100 B", points) for kind, points in rows.items()],
        [(control, usual)],
        configuration=lambda _: Configuration("\n".join(backends), "\n".join(locations), "\n".join(makers)),
        prepare=prepare,
    )


def fill(servers: Servers, generator: load.Generator, path: str, count: int) -> None:
    """Makes at least so many sessions."""
    made = 0
    target = load.Target(f"http://127.0.0.1:{servers.probe_port}{path}")
    while (left := count - made) > FEW:
        # In short portions at the end: it cannot be told when to stop.
        seen = load.run_wrk(target, generator, Situation(), 1 if left > 200_000 else 0.1)
        if seen.broken or seen.refused:
            raise ScaleError(f"{path} made {made} sessions and then no more")
        made += seen.requests
    probe.make(servers.probe_port, path.removeprefix("/make/"), max(count - made, 0))


def sizes(extent: Extent) -> Question:
    """The data is text of many values, which deflates to about a half."""
    kinds = {"check": "check", "read": "check, one value read", "save": "save"}
    points: dict[tuple[str, str], list[tuple[int, Unit]]] = {(store, kind): [] for store in ("shm", "redis") for kind in kinds}
    controls: list[Unit] = []
    locations, makers = [], []
    # A zone for the saves of each size: large ones would drop the sessions of small ones.
    backends = ["session_backend sized_shm shm { size 96m; evict off; }"]
    backends += [f"session_backend sized_shm_save_{size} shm {{ size {96 if size > 100_000 else 32}m; }}" for size in extent.bytes]
    for size in extent.bytes:
        # One that takes a while must not be under way at the end, when its work would count and it would not.
        situation = Situation(connections=8 if size <= 10_000 else 1)
        if (situation.connections, 1) not in [(each.connections, each.workers) for _, each in controls]:
            controls.append((Row("sized-control", "control", "/control", f"sized-shm-{extent.bytes[0]}", None, "off"), situation))
        for store, kind in points:
            backend = "redis" if store == "redis" else f"sized_shm_save_{size}" if kind == "save" else "sized_shm"
            path = f"/sized/{store}/{size}/{kind}"
            cookie = f"sized-{store}{'-save' if kind == 'save' else ''}-{size}"
            row = Row(f"sized-{store}-{size}-{kind}", f"{kinds[kind]}, {size:,} B in {store}", path, cookie, "sized-control", "open", kind == "save")
            locations.append(location(path, backend, kind, "p0"))
            points[store, kind].append((size, (row, situation)))
            if kind != "read":
                makers.append(maker(cookie, sized_data(size), f"session_storage {backend};"))

    def prepare(servers: Servers, _: load.Generator, made: dict[str, list[str]]) -> None:
        for store, kind in points:
            for size in extent.bytes if kind != "read" else ():
                name = f"sized-{store}{'-save' if kind == 'save' else ''}-{size}"
                made[name] = probe.make(servers.probe_port, name, 16)

    return Question(
        "Size of a session's data, in a store",
        "bytes",
        [Series(f"{kinds[kind]}, {store}", found) for (store, kind), found in points.items()],
        controls,
        is_log=True,
        configuration=lambda _: Configuration("\n".join(backends), "\n".join(locations), "\n".join(makers)),
        prepare=prepare,
    )


def cookies(extent: Extent) -> Question:
    """The session's cookie is in the middle of others."""
    usual = Situation()
    kinds = {"check": ("check", "/check", "/control"), "hide": ("check with hide in front of proxy_pass", "/jar/control", "/proxied/control")}
    points: dict[str, list[tuple[int, Unit]]] = {kind: [] for kind in kinds}
    controls: list[Unit] = []
    for count in extent.cookies:
        for kind, (text, path, other) in kinds.items():
            control = Row(f"beside-{count}-{kind}-control", "control", other, f"beside-{count}", None, "off")
            row = Row(f"beside-{count}-{kind}", f"{text}, {count} cookies", path, f"beside-{count}", control.name, "open")
            controls.append((control, usual))
            points[kind].append((count, (row, usual)))

    def prepare(servers: Servers, _: load.Generator, made: dict[str, list[str]]) -> None:
        session = probe.make(servers.probe_port, "small", 1)[0]
        random = Random(1)
        for count in extent.cookies:
            others = [f"cookie-{number:03}={random.randrange(1 << 64):016x}" for number in range(count - 1)]
            others.insert(count // 2, session)
            made[f"beside-{count}"] = ["; ".join(others)]

    return Question(
        "Cookies in the request",
        "cookies",
        [Series(kinds[kind][0], found) for kind, found in points.items()],
        controls,
        prepare=prepare,
    )


def distances(extent: Extent, stack: ExitStack) -> Question:
    """Redis, so many milliseconds away. What waits for it must cost no more than its connection."""
    found: dict[tuple[str, int], list[tuple[int, Unit]]] = {}
    locations, makers = [], []
    wanted = [("check", away) for away in extent.milliseconds] + [("save", 10)]
    for kind, away in wanted:
        cookie = f"far-{away}-{kind}"
        locations.append(location(f"/far/{away}/{kind}", f"far_{away}", kind))
        makers.append(maker(cookie, probe_data(), "session_storage redis;"))
        row = Row(f"far-{away}-{kind}", f"{kind}, Redis {away} ms away", f"/far/{away}/{kind}", cookie, None, "open", kind == "save")
        found[kind, away] = [(count, (row, Situation(connections=count))) for count in extent.connections]

    def configuration(stores: Stores) -> Configuration:
        backends = []
        for away in sorted({away for _, away in wanted}):
            backends.append(redis_backend(f"far_{away}", far_away(stack, stores, away)))
        return Configuration("\n".join(backends), "\n".join(locations), "\n".join(makers))

    def prepare(servers: Servers, _: load.Generator, made: dict[str, list[str]]) -> None:
        # Requests with the same session would wait for each other.
        for kind, away in wanted:
            count = MANY if kind == "check" else max(extent.connections) + MANY
            made[f"far-{away}-{kind}"] = probe.make(servers.probe_port, f"far-{away}-{kind}", count)

    def ideal(kind: str, away: int) -> Callable[[int], float]:
        # A save reads the session first.
        trips = 2 if kind == "save" else 1
        return lambda connections: connections * 1000 / away / trips

    return Question(
        "A store far away: requests a second, and the share of what its distance allows",
        "connections",
        [Series(f"{kind}, {away} ms away", points, ideal(kind, away)) for (kind, away), points in found.items()],
        [],
        is_rate=True,
        is_log=True,
        configuration=configuration,
        prepare=prepare,
    )


def far_away(stack: ExitStack, stores: Stores, milliseconds: int) -> int:
    """The port of a Redis that answers so much later."""
    command = [sys.executable, "-B", HERE / "delay.py", str(stores.port("redis")), str(milliseconds)]
    line = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end() -> None:
        line.terminate()
        line.wait()

    stack.callback(end)
    said = line.stdout.readline() if line.stdout else ""
    if not said:
        raise ScaleError("delay.py did not start")
    return int(said)


def location(path: str, backend: str, kind: str, key: str = "user") -> str:
    work = {"check": "", "read": f"set $value $session_data_{key};", "save": "session_stale_ttl 1h; session_set seen $msec;"}[kind]
    return f"location = {path} {{ session start; session_storage {backend}; {work} empty_gif; }}"


def probe_data() -> dict[str, str]:
    return {"user": "ann@example.org", "role": "editor", "locale": "en_GB", "seen": "never"}


def sized_data(size: int) -> dict[str, str]:
    """Values of a kilobyte or less, which as JSON have about so many bytes in all."""
    random = Random(size)
    words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randrange(2, 11))) for _ in range(2000)]

    def words_of(length: int) -> str:
        text = ""
        while len(text) < length:
            text += random.choice(words) + " "
        return text[:length]

    # A key, quotes, a colon and a comma take about 11 bytes.
    return {f"p{number}": words_of(min(1000, size) - 11) for number in range(max(1, size // 1000))}


def values(question: Question, series: Series, rounds: Rounds) -> list[float]:
    if question.is_rate:
        return [median(report.rates(rounds[row.name, situation])) for _, (row, situation) in series.points]
    return [median(report.over(row, rounds, situation)) for _, (row, situation) in series.points]


def table(question: Question, rounds: Rounds) -> str:
    counts = [count for count, _ in question.series[0].points]
    head = "requests/s" if question.is_rate else "over control, µs"
    lines: list[tuple[str, ...]] = [(f"{head}, by {question.grows}", *(f"{count:,}" for count in counts))]
    for series in question.series:
        found = values(question, series, rounds)
        if ideal := series.ideal:
            cells = [f"{value:,.0f} ({value / ideal(count):.0%})" for count, value in zip(counts, found)]
        else:
            cells = [f"{value:+,.2f}" if value < 100 else f"{value:+,.0f}" for value in found]
        lines.append((series.text, *cells))
    return report.markdown(lines)


def chart(question: Question, rounds: Rounds) -> Lines:
    lines = []
    for number, series in enumerate(question.series):
        counts = [float(count) for count, _ in series.points]
        lines.append(Line(series.text, list(zip(counts, values(question, series, rounds))), colour=number))
    limits = [
        Line("", [(count, series.ideal(count)) for count, _ in series.points], True, number)
        for number, series in enumerate(question.series)
        if series.ideal
    ]
    title = f"{question.title} (dashed)" if limits else question.title
    y = Axis("requests/s" if question.is_rate else "µs over control", question.is_log)
    ticks = [float(count) for count, _ in question.series[0].points]
    return Lines(title, Axis(question.grows, is_log=True), y, lines + limits, ticks)
