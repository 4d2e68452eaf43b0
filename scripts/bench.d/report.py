"""From measurements to the table and the CSV file."""

import csv
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from load import Generator, Measured
from rows import Row

Rounds = dict[str, list[Measured]]

HEADINGS = ("row", "µs a request", "over control, µs", "rounds, µs", "ratio", "requests/s", "p50, µs", "p99, µs", "store, µs")


def table(rows: list[Row], rounds: Rounds) -> str:
    """Markdown that reads well on a terminal too."""
    lines = [HEADINGS] + [cells(row, rounds) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    first, *others = widths
    rule = "|".join(["-" * (first + 2)] + ["-" * (width + 1) + ":" for width in others])
    texts = [
        " | ".join([line[0].ljust(first)] + [cell.rjust(width) for cell, width in zip(line[1:], others)])
        for line in lines
    ]
    return "\n".join([f"| {texts[0]} |", f"|{rule}|"] + [f"| {text} |" for text in texts[1:]])


def cells(row: Row, rounds: Rounds) -> tuple[str, ...]:
    own = [measured.us_per_request for measured in rounds[row.name]]
    rate = f"{median(measured.requests_per_second for measured in rounds[row.name]):,.0f}"
    p50 = f"{median(measured.p50_us for measured in rounds[row.name]):,.0f}"
    p99 = f"{median(measured.p99_us for measured in rounds[row.name]):,.0f}"
    store = median(measured.store_us_per_request for measured in rounds[row.name])
    rest = rate, p50, p99, f"{store:.2f}" if store else ""
    if row.control is None:
        return row.text, f"{median(own):.2f}", "", f"{min(own):.2f} … {max(own):.2f}", "", *rest
    control = [measured.us_per_request for measured in rounds[row.control]]
    # Round by round: what slows the machine down for a while slows down both.
    over = [a - b for a, b in zip(own, control)]
    ratio = median(a / b for a, b in zip(own, control))
    spread = f"{min(over):+.2f} … {max(over):+.2f}"
    return row.text, f"{median(own):.2f}", f"{median(over):+.2f}", spread, f"{ratio:.2f}", *rest


def circumstances(nginx: Path, generator: Generator, seconds: float, count: int) -> str:
    """When, where, with what."""
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr.strip()
    version = said.partition("nginx/")[2]
    few = generator.workers == 1
    if generator.beside_nginx:
        core = "the same core" if few else "the same cores"
    else:
        core = "another core" if few else "other cores"
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {processor()}, Linux {platform.release().split('-')[0]}, nginx {version}; "
        f"{'1 worker' if few else f'{generator.workers} workers'}, load from {core}, {generator.connections} connections, {count} rounds of {seconds:g} s"
    )


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write_csv(path: Path, rows: list[Row], rounds: Rounds) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            ["row", "control", "round", "requests", "seconds", "cpu_ns", "us_per_request", "requests_per_s", "p50_us", "p99_us", "store_ns"]
        )
        for row in rows:
            for number, measured in enumerate(rounds[row.name], 1):
                out.writerow(
                    [
                        row.name,
                        row.control or "",
                        number,
                        measured.requests,
                        f"{measured.seconds:.3f}",
                        measured.cpu_ns,
                        f"{measured.us_per_request:.4f}",
                        f"{measured.requests_per_second:.0f}",
                        measured.p50_us,
                        measured.p99_us,
                        measured.store_ns,
                    ]
                )
