#!/usr/bin/env python3
"""The application behind nginx in the demonstration: a few pages and a login program.

It keeps no sessions and sets no cookies. Who the user is it learns from request headers, and a good password it reports to
nginx by response headers; everything between the two is the work of nginx-session.

Usage: app.py SOCKET PAGES      listens on the unix socket SOCKET, takes its pages from the folder PAGES
"""

import hmac
import os
import socketserver
import sys
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

LARGEST_FORM = 4096

# Where the login form of an audience is, and where nginx goes on after a good password.
SIGNED_IN = {"/login": "/.signed-in", "/office/login": "/.signed-in-office"}

# What nginx adds is shown before what the browser sent.
FROM_NGINX = ("X-", "Session-")

CLOCKS = (
    ("Session-Idling-Timeout", "Idling", "starts anew with every visit"),
    ("Session-Rolling-Timeout", "Rolling", "starts anew when the session is renewed"),
    ("Session-Absolute-Timeout", "Absolute", "never starts anew"),
)


@dataclass(frozen=True)
class User:
    name: str
    full_name: str
    password: str


USERS = {
    user.name: user
    for user in (User("ann", "Ann Archer", "apple"), User("bob", "Bob Baker", "banana"))
}


def find_user(name: str, password: str) -> User | None:
    user = USERS.get(name)
    known = user.password if user else ""
    good = hmac.compare_digest(known.encode(), password.encode())
    return user if user and good else None


class Pages:
    """The HTML files: every page is put into layout.html."""

    def __init__(self, folder: Path) -> None:
        self._texts = {path.stem: Template(path.read_text("utf-8")) for path in folder.glob("*.html")}

    def render(self, page: str, title: str, visitor: dict[str, str], parts: dict[str, str]) -> bytes:
        body = self._texts[page].substitute(visitor | parts)
        return self._texts["layout"].substitute(visitor, title=title, body=body).encode()


class Application(BaseHTTPRequestHandler):
    server_version = "demo"
    sys_version = ""
    protocol_version = "HTTP/1.0"
    pages: Pages

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        match path:
            case "/":
                self._show("home", "Home")
            case "/members/":
                self._show("members", "Members")
            case "/members/letter":
                self._show("letter", "A letter")
            case "/office/":
                self._show("office", "Office")
            case "/login" | "/office/login":
                self._show_login(path)
            case "/who" | "/office/who":
                self._show("who", "Who am I", parts=self._findings())
            case _:
                self._show("missing", "Not found", status=404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        if path not in SIGNED_IN:
            self._show("missing", "Not found", status=404)
            return
        form = self._form()
        user = find_user(form.get("user", ""), form.get("password", ""))
        if user is None:
            self._show_login(path, "That name and password do not belong together.", status=403)
            return
        self.send_response(200)
        self.send_header("X-Accel-Redirect", SIGNED_IN[path])
        self.send_header("X-User", user.name)
        self.send_header("X-Name", user.full_name)
        self.send_header("X-Remember", "1" if "remember" in form else "0")
        self.end_headers()

    def _form(self) -> dict[str, str]:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_FORM:
            return {}
        text = self.rfile.read(int(length)).decode("utf-8", "replace")
        return {name: values[0] for name, values in parse_qs(text).items()}

    def _show_login(self, path: str, message: str = "", status: int = 200) -> None:
        note = f'<p class="note" role="alert">{escape(message)}</p>' if message else ""
        where = "the office" if path.startswith("/office") else "the members' pages"
        self._show("login", "Log in", status, {"path": path, "where": where, "note": note})

    def _show(self, page: str, title: str, status: int = 200, parts: dict[str, str] | None = None) -> None:
        text = self.pages.render(page, title, self._visitor(), parts or {})
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _visitor(self) -> dict[str, str]:
        """What the headers from nginx say about the visitor, ready for HTML."""
        office = self.path.startswith("/office")
        user = self.headers.get("X-User", "")
        return {
            "name": escape(self.headers.get("X-Name", "") or "nobody"),
            "user": escape(user or "nobody"),
            "color": escape(self.headers.get("X-Color", "teal")),
            "audience": escape(self.headers.get("Session-Audience", "none")),
            "status": escape(self.headers.get("X-Session-Status", "")),
            "known": "yes" if user else "no",
            "logout": "/office/logout" if office else "/logout",
            "who": "/office/who" if office else "/who",
        }

    def _findings(self) -> dict[str, str]:
        headers = sorted(self.headers.items(), key=lambda header: not header[0].startswith(FROM_NGINX))
        rows = [f"<tr><th>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in headers]
        clocks = [self._clock(*clock) for clock in CLOCKS if self.headers.get(clock[0])]
        return {
            "rows": "\n".join(rows),
            "clocks": "\n".join(clocks) or "<p>No session here, so no clock is running.</p>",
            "cookie": "arrived" if "Cookie" in self.headers else "did not arrive",
        }

    def _clock(self, header: str, name: str, hint: str) -> str:
        seconds = escape(self.headers[header])
        return (
            f'<div class="clock"><strong data-seconds="{seconds}">{seconds} s</strong>'
            f"<span>{name}</span><small>{hint}</small></div>"
        )

    def address_string(self) -> str:
        return "nginx"  # the peer of a unix socket has no address


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main() -> None:
    socket, pages = sys.argv[1:]
    Application.pages = Pages(Path(pages))
    os.umask(0)  # nginx's workers, another user where nginx is started by root, have to write to the socket
    with Server(socket, Application) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
