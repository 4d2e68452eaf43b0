"""From measurements to tables, the CSV file and the charts."""

import csv
import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from load import Measured, Situation
from measure import Rounds, describe
from plot import Axis, Bar, Bars, Line, Lines, svg
from rows import TARGET_P99, TARGET_RATIOS, TARGETS, Row

HEADINGS = ("row", "µs a request", "over control, µs", "rounds, µs", "ratio", "requests/s", "p50, µs", "p99, µs", "store, µs")


def table(rows: list[Row], rounds: Rounds, situation: Situation) -> str:
    """Every row in one situation."""
    return markdown([HEADINGS] + [cells(row, rounds, situation) for row in rows])


def markdown(lines: Sequence[tuple[str, ...]]) -> str:
    """A table that reads well on a terminal too."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    first, *others = widths
    rule = "|".join(["-" * (first + 2)] + ["-" * (width + 1) + ":" for width in others])
    texts = [
        " | ".join([line[0].ljust(first)] + [cell.rjust(width) for cell, width in zip(line[1:], others)])
        for line in lines
    ]
    return "\n".join([f"| {texts[0]} |", f"|{rule}|"] + [f"| {text} |" for text in texts[1:]])


def cells(row: Row, rounds: Rounds, situation: Situation) -> tuple[str, ...]:
    measured = rounds[row.name, situation]
    own = work(measured)
    rate = f"{middle(rates(measured)):,.0f}"
    p50 = f"{median(each.p50_us for each in measured):,.0f}"
    p99 = f"{median(each.p99_us for each in measured):,.0f}"
    store = median(each.store_us_per_request for each in measured)
    rest = rate, p50, p99, f"{store:.2f}" if store else ""
    if not own:
        return row.text, "", "", "", "", *rest
    if row.control is None:
        return row.text, f"{median(own):.2f}", "", f"{min(own):.2f} … {max(own):.2f}", "", *rest
    more = over(row, rounds, situation)
    spread = f"{min(more):+.2f} … {max(more):+.2f}"
    return row.text, f"{median(own):.2f}", f"{median(more):+.2f}", spread, f"{ratio(row, rounds, situation, work):.2f}", *rest


def work(measured: list[Measured]) -> list[float]:
    """CPU time a request, of each round; nothing if it is not known."""
    return [each.us_per_request for each in measured if each.us_per_request is not None]


def rates(measured: list[Measured]) -> list[float]:
    return [each.requests_per_second for each in measured]


def p99s(measured: list[Measured]) -> list[float]:
    return [each.p99_us for each in measured]


def over(row: Row, rounds: Rounds, situation: Situation) -> list[float]:
    """What the row costs more than its control, round by round: what slows the machine down for a while slows down both."""
    control = work(rounds[str(row.control), situation])
    return [a - b for a, b in zip(work(rounds[row.name, situation]), control)]


def ratio(row: Row, rounds: Rounds, situation: Situation, of: Callable[[list[Measured]], list[float]]) -> float:
    own, control = (of(rounds[name, situation]) for name in (row.name, str(row.control)))
    return median(a / b for a, b in zip(own, control))


def middle(numbers: list[float]) -> float:
    return median(numbers) if numbers else float("nan")


def by_connections(rows: list[Row], rounds: Rounds, situations: list[Situation]) -> str:
    """A table for each figure, with the situations side by side."""

    def costs(row: Row, situation: Situation) -> str:
        if row.control is None:
            return f"{middle(work(rounds[row.name, situation])):.2f}"
        return f"{middle(over(row, rounds, situation)):+.2f}"

    figures: dict[str, Callable[[Row, Situation], str]] = {
        "µs a request of controls, over control of the others": costs,
        "requests/s": lambda row, situation: f"{middle(rates(rounds[row.name, situation])):,.0f}",
        "p50, µs": lambda row, situation: f"{median(each.p50_us for each in rounds[row.name, situation]):,.0f}",
        "p99, µs": lambda row, situation: f"{median(each.p99_us for each in rounds[row.name, situation]):,.0f}",
    }
    heads = tuple(f"{situation.workers} × {situation.connections}" for situation in situations)
    found = [
        markdown([(name, *heads)] + [(row.text, *(cell(row, situation) for situation in situations)) for row in rows])
        for name, cell in figures.items()
    ]
    sizes = tuple(resident(rows, rounds, situation) for situation in situations)
    return "\n\n".join(found + [markdown([("memory", *heads), ("RSS of a worker, after all rows, MB", *sizes)])])


def resident(rows: list[Row], rounds: Rounds, situation: Situation) -> str:
    """The largest: memory that was freed is mostly kept."""
    sizes = [each.resident_kb for row in rows if row.server is None for each in rounds[row.name, situation] if each.resident_kb is not None]
    return f"{max(sizes) / 1024:.1f}" if sizes else ""


def equal_load(rows: list[Row], rounds: Rounds, situation: Situation) -> str:
    """Latencies while all rows get the same number of requests a second."""
    lines = [("row", "requests/s", "p50, µs", "p99, µs", "p99 to control's", "µs a request", "over control, µs")]
    for row in rows:
        measured = rounds[row.name, situation]
        compared = row.control is not None
        lines.append(
            (
                row.text,
                f"{median(rates(measured)):,.0f}",
                f"{median(each.p50_us for each in measured):,.0f}",
                f"{median(p99s(measured)):,.0f}",
                f"{ratio(row, rounds, situation, p99s):.2f}" if compared else "",
                f"{middle(work(measured)):.2f}",
                f"{middle(over(row, rounds, situation)):+.2f}" if compared else "",
            )
        )
    return markdown(lines)


def against_targets(rows: list[Row], rounds: Rounds, usual: Situation, traits: list[Row], equal: Situation | None) -> str:
    """What is met, and what is not."""
    lines = [("row", "target", "measured", "")]

    def compare(text: str, target: str, measured: str, is_met: bool) -> None:
        lines.append((text, target, measured, "met" if is_met else "missed"))

    for row in rows:
        if (target := TARGETS.get(row.name)) is not None:
            more = median(over(row, rounds, usual))
            compare(row.text, f"{target:+.1f} µs", f"{more:+.2f} µs", more <= target)
        if (target := TARGET_RATIOS.get(row.name)) is not None:
            times = ratio(row, rounds, usual, work)
            compare(row.text, f"× {target}", f"× {times:.2f}", times <= target)
    for row in traits if equal else []:
        if row.control is not None and row.server is None:
            times = ratio(row, rounds, equal, p99s)
            compare(f"p99 at an equal load: {row.text}", f"× {TARGET_P99}", f"× {times:.2f}", times <= TARGET_P99)
    return markdown(lines) if len(lines) > 1 else ""


def charts(rows: list[Row], traits: list[Row], rounds: Rounds, usual: Situation, situations: list[Situation]) -> list[Bars | Lines]:
    bars = []
    for row in rows:
        more = over(row, rounds, usual) if row.control else []
        if more:
            bars.append(Bar(row.text, median(more), min(more), max(more), f"{median(more):+.2f}"))
    drawn: list[Bars | Lines] = [Bars(f"µs of CPU over control, {describe(usual)}", bars)]
    for workers in sorted({situation.workers for situation in situations}):
        drawn += lines_of([situation for situation in situations if situation.workers == workers], traits, rounds)
    return drawn


def lines_of(situations: list[Situation], traits: list[Row], rounds: Rounds) -> list[Lines]:
    """What few and many connections mean, with the same workers."""
    workers = situations[0].workers
    name = f"with {workers} worker{'s' if workers > 1 else ''}"
    ticks = [float(situation.connections) for situation in situations]

    def lines(value: Callable[[list[Measured]], list[float]]) -> list[Line]:
        values = {row.text: [value(rounds[row.name, situation]) for situation in situations] for row in traits}
        return [Line(label, [(x, median(y)) for x, y in zip(ticks, found)]) for label, found in values.items() if all(found)]

    x = Axis("connections", is_log=True)
    return [
        Lines(f"Requests a second {name}", x, Axis("requests/s"), lines(rates), ticks),
        Lines(f"CPU of a request {name}", x, Axis("µs", is_log=True), lines(work), ticks),
    ]


def circumstances(nginx: Path) -> str:
    """When, where, with what."""
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr.strip()
    version = said.partition("nginx/")[2]
    return f"{datetime.now(timezone.utc):%Y-%m-%d}, {processor()}, Linux {platform.release().split('-')[0]}, nginx {version}"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def save(folder: Path, rows: list[Row], rounds: Rounds, text: str, drawn: Sequence[Bars | Lines], caption: str, kind: str = "") -> Path:
    """Keeps a run's figures beside those of earlier ones; the file with all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}{kind}"
    (folder / f"{name}.md").write_text(text + "\n", "utf-8")
    (folder / f"{name}.svg").write_text(svg(drawn, caption), "utf-8")
    path = folder / f"{name}.csv"
    write_csv(path, rows, rounds)
    return path


def write_csv(path: Path, rows: list[Row], rounds: Rounds) -> None:
    """Every measurement, in full."""
    controls = {row.name: row.control or "" for row in rows}
    heads = "row control workers connections rate round requests seconds cpu_ns us_per_request requests_per_s p50_us p99_us store_ns rss_kb"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(heads.split())
        for (name, situation), found in rounds.items():
            for number, each in enumerate(found, 1):
                out.writerow(
                    [
                        name,
                        controls[name],
                        situation.workers,
                        situation.connections,
                        situation.rate or "",
                        number,
                        each.requests,
                        f"{each.seconds:.3f}",
                        "" if each.cpu_ns is None else each.cpu_ns,
                        "" if each.us_per_request is None else f"{each.us_per_request:.4f}",
                        f"{each.requests_per_second:.0f}",
                        each.p50_us,
                        each.p99_us,
                        each.store_ns,
                        "" if each.resident_kb is None else each.resident_kb,
                    ]
                )
