"""What is measured: one row for each kind of work a request can mean."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """A location under load. locations.conf, and stores.py for those of each store, have the locations."""

    name: str
    """Names the row to --only and in the CSV file."""
    text: str
    path: str
    cookie: str | None
    """The cookie that every request brings: the one that /make/COOKIE sets."""
    control: str | None
    """The row with the same request and without the work that is measured; none for a control itself."""
    status: str
    """What $session_status must be, so that the work measured is the work meant."""
    sets_cookies: bool = False
    """Whether each response must have Set-Cookie lines; how many depends on how well the data deflates."""
    body: str | None = None
    """What the program behind nginx must have seen."""
    mapped: str | None = None
    """The request headers that must have been set."""
    sessions: int = 1
    """How many sessions the requests take turns with."""
    store: str | None = None
    """Where the sessions are, if not in their cookies."""
    server: str | None = None
    """Another server than the nginx of the run, by its name among those of --against; then the path is a whole URL."""


# More than there are requests under way: with one session alone they would wait for each other.
MANY = 512
# More than a worker knows of at a time: each of them is as new to it.
UNKNOWN = 8192
UNKNOWN_LARGE = 2048


def stored(name: str, title: str) -> tuple[Row, Row]:
    """The rows of a store."""
    many: dict[str, Any] = {"control": "control-stored", "status": "open", "sessions": MANY, "store": name}
    return (
        Row(f"{name}-check", f"check, 100 B in {title}", f"/{name}/check", name, **many),
        Row(f"{name}-save", f"save, 100 B to {title}", f"/{name}/save", f"{name}-save", sets_cookies=True, **many),
    )


def unknown(data: str, text: str, count: int) -> tuple[Row, Row]:
    """A check of sessions that the worker has not seen for a while, and its control: as many cookies."""
    cookie = f"unknown-{data}"
    return (
        Row(f"{cookie}-control", "control of the next: as many cookies", "/control", cookie, None, "off", sessions=count),
        Row(cookie, f"check, {text}, one value read, not seen lately", "/check-read", cookie, f"{cookie}-control", "open", sessions=count),
    )


def answered(name: str, text: str, store: str, kind: str, body: str) -> tuple[Row, Row]:
    """A save that the upstream's response causes, and its control: the check in front of the same upstream."""
    where = f"/{store.lower()}/{kind}"
    cookie = f"{store.lower()}-{kind}"
    many: dict[str, Any] = {"status": "open", "sessions": MANY, "store": store.lower()}
    return (
        Row(f"{name}-control", f"control of the next: the check in {store} alone", f"{where}-control", cookie, None, body=" - ", **many),
        Row(name, text, where, cookie, f"{name}-control", sets_cookies=True, body=body, **many),
    )


JAR = "dark - three"
"""Two of the five cookies in the jar, as the program behind nginx sees them."""

ROWS = (
    Row("control", "control: no session work", "/control", "small", None, "off"),
    Row("control-bare", "control without a cookie", "/control", None, None, "off"),
    Row("control-text", "control with a cookie of 3 kB text", "/control", "text", None, "off"),
    Row("control-tokens", "control with a cookie of 3 kB tokens", "/control", "tokens", None, "off"),
    Row("control-plain", "control with the two cookies of 3 kB not deflated", "/control", "plain", None, "off"),
    Row("missing", "no cookie", "/check", None, "control-bare", "missing"),
    Row("refused", "cookie with a bad signature", "/check", "foreign", "control", "bad-signature", True),
    Row("check", "check, 100 B", "/check", "small", "control", "open"),
    Row("check-read", "check, 100 B, one value read", "/check-read", "small", "control", "open"),
    Row("map", "three mapped headers, over a check of 100 B", "/map", "small", "check", "open", mapped="ann@example.org editor en_GB"),
    Row("check-text-unread", "check, 3 kB of text", "/check", "text", "control-text", "open"),
    Row("check-text", "check, 3 kB of text, one value read", "/check-read", "text", "control-text", "open"),
    Row("check-tokens-unread", "check, 3 kB of tokens", "/check", "tokens", "control-tokens", "open"),
    Row("check-tokens", "check, 3 kB of tokens, one value read", "/check-read", "tokens", "control-tokens", "open"),
    Row("check-plain", "check, 3 kB of tokens not deflated, one value read", "/check-read", "plain", "control-plain", "open"),
    *unknown("small", "100 B", UNKNOWN),
    *unknown("text", "3 kB of text", UNKNOWN_LARGE),
    *unknown("tokens", "3 kB of tokens", UNKNOWN_LARGE),
    Row("touch", "touch, 100 B", "/touch", "small", "control", "open", True),
    Row("save", "save, 100 B", "/save", "small", "control", "open", True),
    Row("save-text", "save, 3 kB of text", "/save", "text", "control-text", "open", True),
    Row("save-tokens", "save, 3 kB of tokens", "/save", "tokens", "control-tokens", "open", True),
    Row("proxied-control", "control in front of proxy_pass", "/proxied/control", "small", None, "off", body=" - cookie"),
    Row(
        "proxied-check",
        "check in front of proxy_pass: hide, two mapped headers",
        "/proxied/check",
        "small",
        "proxied-control",
        "open",
        body="ann@example.org - no cookie",
    ),
    Row("jar-control", "control of the next: the check with hide alone", "/jar/control", "jar", None, "open", body=" - "),
    Row("jar", "jar with 5 cookies, unchanged", "/jar/same", "jar", "jar-control", "open", body=JAR),
    Row("jar-change-control", "control of the next: the check with hide alone", "/jar/change-control", "jar", None, "open", body=" - "),
    Row("jar-change", "jar with 5 cookies, one changes", "/jar/change", "jar", "jar-change-control", "open", True, body=JAR),
    Row("control-stored", "control with the cookies of stored sessions", "/control", "shm", None, "off", sessions=MANY),
    *stored("shm", "shm"),
    *stored("redis", "Redis"),
    *stored("postgres", "Postgres"),
    *answered("shm-jar", "jar with 5 cookies in shm, one changes", "shm", "jar", JAR),
    *answered("redis-told", "control header, saves to Redis", "Redis", "told", " - "),
)

# What is measured with few and with many connections too, and at an equal load.
TRAITS = ("control", "check", "save", "control-stored", "shm-check", "redis-check", "redis-save")

# What the project has set itself: µs over control, with 32 connections of one worker.
TARGETS = {
    "check": 1.5,
    "map": 0.7,
    "check-text-unread": 1.5,
    "check-text": 4.0,
    "check-tokens-unread": 1.5,
    "check-tokens": 4.0,
    "touch": 2.5,
    "save": 4.0,
    "jar": 2.0,
    "shm-check": 1.5,
    "redis-check": 4.0,
    "redis-save": 8.0,
}
# The same as a ratio to control: of all the CPU time, and of the 99th percentile at an equal load.
TARGET_RATIOS = {"proxied-check": 1.05}
TARGET_P99 = 1.1


class NoSuchRow(Exception):
    """--only found nothing."""


def select(texts: list[str]) -> list[Row]:
    """The rows whose names contain one of the texts, and their controls; all rows when there are no texts."""
    if not texts:
        return list(ROWS)
    wanted = {row.name for row in ROWS if any(text in row.name for text in texts)}
    if not wanted:
        names = ", ".join(row.name for row in ROWS)
        raise NoSuchRow(f"--only {' '.join(texts)}: there is no such row; there are {names}")
    controls = {row.name: row.control for row in ROWS}
    for name in list(wanted):
        # A control may have one itself.
        while control := controls[name]:
            wanted.add(control)
            name = control
    return [row for row in ROWS if row.name in wanted]
