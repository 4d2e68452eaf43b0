"""Other servers that are measured beside the nginx of the run: those of --against."""

import argparse
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from load import Target, cpu_of_all, resident
from rows import Row


class AgainstError(Exception):
    """Another server cannot be measured as asked."""


@dataclass(frozen=True)
class Foreign:
    """A server that somebody else has started."""

    control: str
    check: str
    name: str
    cookie: str | None = None
    cpu_of: str | None = None
    """Its process, or its container."""

    def rows(self) -> tuple[Row, Row]:
        control = Row(f"{self.name}-control", f"{self.name}: control", self.control, None, None, "", server=self.name)
        check = Row(f"{self.name}-check", f"{self.name}: check", self.check, None, control.name, "", server=self.name)
        return control, check

    def target(self, url: str) -> Target:
        """The control has the cookie too: it is asked in the same way."""
        cookies = [self.cookie] if self.cookie else []
        if self.cpu_of is None:
            return Target(url, cookies)
        process = process_of(self.cpu_of)
        group = None if self.cpu_of.isdigit() else group_of(process)
        cpu: Callable[[], int] = (lambda: group_cpu(group)) if group else (lambda: cpu_of_all(family(process)))
        return Target(url, cookies, cpu, resident_kb=lambda: sum(resident(member).all_kb for member in family(process)))

    def probe(self) -> None:
        """One request to each: a server that is not there should be found before the run, not in it."""
        for url in (self.control, self.check):
            status = ask(url, self.cookie)
            if not 200 <= status < 400:
                raise AgainstError(f"--against: {url} answered {status}, which is not the work of a session that is open")
        if self.cpu_of is not None:
            process_of(self.cpu_of)

    def cores(self) -> list[int]:
        """Where it may do its work, if that is known: one that has started others leaves the work to them."""
        if self.cpu_of is None:
            return []
        workers = [process for process in family(process_of(self.cpu_of)) if len(family(process)) == 1]
        return sorted({core for worker in workers for core in os.sched_getaffinity(worker)})


class Add(argparse.Action):
    """--against CONTROL-URL CHECK-URL; the options behind it speak of the server that was named last."""

    def __call__(self, parser, namespace, values, option=None) -> None:
        servers: list[Foreign] = list(getattr(namespace, "against", None) or [])
        if option == "--against":
            control, check = (url_of(parser, text) for text in values)
            servers.append(Foreign(control, check, f"other-{len(servers) + 1}"))
        elif not servers:
            parser.error(f"{option} belongs behind an --against CONTROL-URL CHECK-URL")
        else:
            servers[-1] = replace(servers[-1], **{self.dest.removeprefix("against_"): values})
        namespace.against = servers


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", nargs=2, action=Add, default=[])
    for option, name in {"--cookie": "cookie", "--cpu-of": "cpu_of", "--name": "name"}.items():
        parser.add_argument(option, dest=f"against_{name}", action=Add)


def url_of(parser: argparse.ArgumentParser, text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname:
        parser.error(f"--against: {text} is no http:// URL")
    return text


def ask(url: str, cookie: str | None) -> int:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        return connection.getresponse().status
    except OSError as error:
        raise AgainstError(f"--against: {url} does not answer: {error}") from None
    finally:
        connection.close()


@cache
def process_of(text: str) -> int:
    """A process by its id, or the first one of a container by its name."""
    if text.isdigit():
        if not Path(f"/proc/{text}").exists():
            raise AgainstError(f"--cpu-of: there is no process {text}")
        return int(text)
    for program in ("docker", "podman"):
        try:
            said = subprocess.run([program, "inspect", text], capture_output=True, text=True, check=True).stdout
            process = json.loads(said)[0]["State"]["Pid"]
        except (OSError, subprocess.CalledProcessError, ValueError, LookupError):
            continue
        if process:
            return int(process)
    raise AgainstError(f"--cpu-of: {text} is no process id, and neither docker nor podman runs a container of that name")


def group_of(process: int) -> Path | None:
    """The control group of a container, which counts processes that have ended too."""
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        path = line.removeprefix("0::/")
        # The uppermost one is the whole machine's, and what is above one's own cannot be seen.
        if path != line and path and ".." not in path:
            folder = Path("/sys/fs/cgroup") / path
            return folder if (folder / "cpu.stat").exists() else None
    return None


def group_cpu(folder: Path) -> int:
    fields = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
    return int(fields["usage_usec"]) * 1000


def family(process: int) -> list[int]:
    """A process and all that descend from it."""
    found = [process]
    for member in found:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found
