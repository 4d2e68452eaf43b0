"""Charts as SVG, to be looked at in any browser."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10

WIDTH = 1080
FONT = 'font-family="sans-serif" font-size="13"'
# Told apart by those who do not see all colours, too (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#8a6d00")
GRID = "#dddddd"
DASHES = "6 4"


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Bars:
    """A bar for each row, and its smallest and largest round as a thin line."""

    title: str
    bars: list[Bar]

    LABELS = 400
    LINE = 22

    @property
    def height(self) -> int:
        return 50 + self.LINE * len(self.bars)

    def draw(self) -> str:
        largest = max([bar.high for bar in self.bars] + [1e-9])
        scale = (WIDTH - self.LABELS - 90) / largest
        parts = [text(10, 24, self.title, weight="bold")]
        for number, bar in enumerate(self.bars):
            y = 40 + self.LINE * number
            end = self.LABELS + max(bar.value, 0) * scale
            middle = y + self.LINE / 2 - 2
            parts.append(text(self.LABELS - 8, middle + 4, bar.label, anchor="end"))
            parts.append(f'<rect x="{self.LABELS}" y="{y + 1}" width="{end - self.LABELS:.1f}" height="{self.LINE - 6}" fill="{COLOURS[0]}"/>')
            low, high = (self.LABELS + max(value, 0) * scale for value in (bar.low, bar.high))
            parts.append(line(low, middle, high, middle, "#000000"))
            parts.append(text(max(end, high) + 6, middle + 4, bar.text))
        return "\n".join(parts)


@dataclass(frozen=True)
class Line:
    label: str
    points: list[tuple[float, float]]
    dashed: bool = False
    colour: int | None = None
    """That of another line, by its place; the next one if none."""


@dataclass(frozen=True)
class Axis:
    title: str
    is_log: bool = False

    def place(self, value: float, low: float, high: float) -> float:
        """Where a value is between the ends, from 0 to 1."""
        if self.is_log:
            value, low, high = (log10(max(number, 1e-9)) for number in (value, low, high))
        return (value - low) / (high - low) if high > low else 0.5

    def ends(self, values: list[float]) -> tuple[float, float]:
        if self.is_log:
            positive = [value for value in values if value > 0] or [1]
            return min(positive), max(positive)
        return min(0.0, *values), max([*values, 1e-9])

    def ticks(self, low: float, high: float) -> list[float]:
        if self.is_log:
            powers = [10.0**power for power in range(floor(log10(low)), floor(log10(high)) + 1)]
            found = [power * step for power in powers for step in (1, 3) if low * 0.999 <= power * step <= high * 1.001]
            return found or [low, high]
        step = 10.0 ** floor(log10(high - low))
        step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (step * part) <= 8)
        return [step * number for number in range(floor(low / step), floor(high / step) + 1) if step * number >= low]


@dataclass(frozen=True)
class Lines:
    """A line for each series, with its name beside its end."""

    title: str
    x: Axis
    y: Axis
    lines: list[Line]
    x_ticks: list[float] = field(default_factory=list)
    """Where the points are, if that is clearer than round numbers."""
    height: int = 360

    LEFT, RIGHT, TOP, BOTTOM = 80, 330, 50, 60

    def draw(self) -> str:
        xs = [x for each in self.lines for x, _ in each.points]
        ys = [y for each in self.lines for _, y in each.points]
        if not xs:
            return text(10, 24, self.title, weight="bold")
        x_ends, y_ends = self.x.ends(xs), self.y.ends(ys)

        def at(x: float, y: float) -> tuple[float, float]:
            across, up = self.x.place(x, *x_ends), self.y.place(y, *y_ends)
            return (
                self.LEFT + across * (WIDTH - self.LEFT - self.RIGHT),
                self.height - self.BOTTOM - up * (self.height - self.TOP - self.BOTTOM),
            )

        parts = [text(10, 24, self.title, weight="bold"), text(10, self.TOP - 8, self.y.title)]
        middle = (self.LEFT + WIDTH - self.RIGHT) / 2
        parts.append(text(middle, self.height - 16, self.x.title, anchor="middle"))
        for tick in self.y.ticks(*y_ends):
            left, y = at(x_ends[0], tick)
            parts.append(line(left, y, WIDTH - self.RIGHT, y, GRID))
            parts.append(text(left - 8, y + 4, short(tick), anchor="end"))
        for tick in self.x_ticks or self.x.ticks(*x_ends):
            x, bottom = at(tick, y_ends[0])
            parts.append(line(x, bottom, x, self.TOP, GRID))
            parts.append(text(x, bottom + 18, short(tick), anchor="middle"))
        ends = []
        for number, each in enumerate(self.lines):
            colour = COLOURS[(number if each.colour is None else each.colour) % len(COLOURS)]
            places = [at(x, y) for x, y in each.points if y > 0 or not self.y.is_log]
            if not places:
                continue
            dash = f' stroke-dasharray="{DASHES}"' if each.dashed else ""
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            if not each.dashed:
                parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
            if each.label:
                ends.append((places[-1][1], each.label, colour))
        return "\n".join(parts + self._names(ends))

    def _names(self, ends: list[tuple[float, str, str]]) -> list[str]:
        """Beside the lines' ends, moved apart where those meet."""
        parts, free = [], float(self.TOP - 20)
        room = self.height - self.BOTTOM + 16
        ordered = sorted(ends)
        for left, (y, label, colour) in zip(range(len(ordered), 0, -1), ordered):
            # Not so low that those below find no room.
            y = max(min(y + 4, room - 16 * (left - 1)), free)
            parts.append(text(WIDTH - self.RIGHT + 12, y, label, colour=colour))
            free = y + 16
        return parts


def svg(charts: Sequence[Bars | Lines], caption: str) -> str:
    """The charts, one below the other."""
    parts, y = [text(10, 24, caption)], 40
    for chart in charts:
        parts.append(f'<g transform="translate(0 {y})">\n{chart.draw()}\n</g>')
        y += chart.height
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" {FONT}>'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal", colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def short(number: float) -> str:
    """1000000 as 1M, 0.5 as 0.5."""
    for size, sign in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{sign}"
    return f"{number:.3g}"
