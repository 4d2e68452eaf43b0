"""Single requests before the measurement: they make the cookies, and check that each row is what it is called."""

import time
from http.client import HTTPConnection, HTTPResponse

from rows import Row


class ProbeError(Exception):
    """A location does something else than its row says."""


def make_cookies(port: int, rows: list[Row]) -> dict[str, list[str]]:
    """The Cookie headers the rows need, by name."""
    wanted = {row.cookie: row.sessions for row in rows if row.cookie}
    cookies = {name: make(port, name, count) for name, count in wanted.items()}
    # A session counts as idle from the next whole second on.
    time.sleep(2)
    return cookies


def make(port: int, name: str, count: int) -> list[str]:
    """The Cookie headers of so many new sessions."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        return [make_cookie(connection, name) for _ in range(count)]
    finally:
        connection.close()


def make_cookie(connection: HTTPConnection, name: str) -> str:
    connection.request("GET", f"/make/{name}")
    response = connection.getresponse()
    response.read()
    lines = response.headers.get_all("Set-Cookie", [])
    if response.status != 200 or not lines:
        raise ProbeError(f"/make/{name} answered {response.status} and set {len(lines)} cookies")
    return "; ".join(line.partition(";")[0] for line in lines)


def check(port: int, row: Row, cookie: str | None) -> None:
    """One request of the row."""
    response, body = get(port, row.path, cookie)
    status = response.headers.get("Session-Status")
    if response.status != 200 or status != row.status:
        raise ProbeError(f"{row.name}: answered {response.status}, the session was {status}, not {row.status}")
    lines = len(response.headers.get_all("Set-Cookie", []))
    if bool(lines) != row.sets_cookies:
        raise ProbeError(f"{row.name}: set {lines} cookies, which is {'not enough' if row.sets_cookies else 'too many'}")
    mapped = response.headers.get("Session-Mapped")
    if row.mapped is not None and mapped != row.mapped:
        raise ProbeError(f"{row.name}: the request's headers were {mapped!r}, not {row.mapped!r}")
    if row.body is not None and body != row.body.encode():
        raise ProbeError(f"{row.name}: the program behind nginx saw {body!r}, not {row.body!r}")


def get(port: int, path: str, cookie: str | None = None) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()
