"""What is measured: one row for each kind of work a request can mean."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A location under load. nginx.conf in this folder has the locations."""

    name: str
    """Names the row to --only and in the CSV file."""
    text: str
    path: str
    cookie: str | None
    """The cookie that every request brings: the one that /make/COOKIE sets."""
    control: str | None
    """The row with the same request and no session work; none for a control itself."""
    status: str
    """What $session_status must be, so that the work measured is the work meant."""
    sets_cookies: bool = False
    """Whether each response must have Set-Cookie lines; how many depends on how well the data deflates."""
    body: str | None = None
    """What the program behind nginx must have seen."""
    sessions: int = 1
    """How many sessions the requests take turns with."""
    store: str | None = None
    """Where the sessions are, if not in their cookies."""


# More than there are requests under way: with one session alone they would wait for each other in a database.
MANY = 64


def stored(name: str, title: str) -> tuple[Row, Row]:
    """The rows of a store."""
    return (
        Row(f"{name}-check", f"check, 100 B in {title}", f"/{name}/check", name, "control-stored", "open", False, None, MANY, name),
        Row(f"{name}-save", f"save, 100 B to {title}", f"/{name}/save", f"{name}-save", "control-stored", "open", True, None, MANY, name),
    )


ROWS = (
    Row("control", "control: no session work", "/control", "small", None, "off"),
    Row("control-bare", "control without a cookie", "/control", None, None, "off"),
    Row("control-tokens", "control with a cookie of 3 kB tokens", "/control", "tokens", None, "off"),
    Row("control-plain", "control with the two cookies of 3 kB not deflated", "/control", "plain", None, "off"),
    Row("missing", "no cookie", "/check", None, "control-bare", "missing"),
    Row("refused", "cookie with a bad signature", "/check", "foreign", "control", "bad-signature", True),
    Row("check", "check, 100 B", "/check", "small", "control", "open"),
    Row("check-read", "check, 100 B, one value read", "/check-read", "small", "control", "open"),
    Row("check-text", "check, 3 kB of text, one value read", "/check-read", "text", "control", "open"),
    Row("check-tokens", "check, 3 kB of tokens, one value read", "/check-read", "tokens", "control-tokens", "open"),
    Row("check-plain", "check, 3 kB of tokens not deflated, one value read", "/check-read", "plain", "control-plain", "open"),
    Row("touch", "touch, 100 B", "/touch", "small", "control", "open", True),
    Row("save", "save, 100 B", "/save", "small", "control", "open", True),
    Row("save-text", "save, 3 kB of text", "/save", "text", "control", "open", True),
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
    Row("control-stored", "control with the cookies of stored sessions", "/control", "shm", None, "off", sessions=MANY),
    *stored("shm", "shm"),
    *stored("redis", "Redis"),
    *stored("postgres", "Postgres"),
)


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
    wanted |= {row.control for row in ROWS if row.name in wanted and row.control}
    return [row for row in ROWS if row.name in wanted]
