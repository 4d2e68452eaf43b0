"""The servers of a run: the nginx that is measured, the program behind its proxy_pass, and the stores."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import ascii_letters, digits

from stores import Stores

HERE = Path(__file__).parent
START_LIMIT = 10.0


class ServerError(Exception):
    """nginx did not do what it was started for."""


@dataclass(frozen=True)
class Cores:
    """Where the two sides of the measurement run."""

    measured: list[int]
    """One for each worker."""
    load: list[int]
    store: list[int]
    """Never that of nginx if there is another: a store is another machine's."""

    @property
    def are_one(self) -> bool:
        return self.measured == self.load


def choose_cores(share: bool, workers: int) -> Cores:
    """The last cores this process may use for nginx; for the load those before them, or the same ones to share."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < workers:
        raise ServerError(f"{workers} workers need as many cores, and there are {len(allowed)}")
    measured, others = allowed[-workers:], allowed[:-workers][-workers:]
    return Cores(measured, load=measured if share or not others else others, store=others or measured)


@dataclass(frozen=True)
class Configuration:
    """What nginx is given beside the rows' locations: lines of http, of both servers, and makers of cookies."""

    backends: str = ""
    locations: str = ""
    makers: str = ""


class Servers:
    """Started on entry, ended and swept away on exit."""

    def __init__(
        self, binary: Path, module: Path, cores: Cores, stores: set[str], more: Callable[[Stores], Configuration] = lambda _: Configuration()
    ) -> None:
        """`more` is asked when the stores have started."""
        self._more = more
        self._binary = binary
        self._module = module
        self.cores = cores
        self._started: list[subprocess.Popen[bytes]] = []
        self.port, self.probe_port, self._upstream_port, *self._store_ports = free_ports(3 + len(stores))
        self._store_names = stores

    def __enter__(self) -> "Servers":
        self._run = Path(tempfile.mkdtemp(prefix="nginx-session-bench."))
        self._run.chmod(0o755)  # nginx's worker may be another user
        self.stores = Stores(self._store_names, self._run, self._store_ports, self.cores.store)
        try:
            self.stores.start()
            behind = self._start("upstream.conf", self.cores.load[-1:], self._upstream_port)
            self.bare_worker = workers_of(behind, 1)[0]
            more = self._more(self.stores)
            self._write("cookies.conf", cookie_makers(self.stores.places(), self.stores.jars()) + more.makers)
            self._write("backends.conf", self.stores.configuration() + more.backends)
            self._write("locations.conf", (HERE / "locations.conf").read_text("utf-8") + self.stores.locations() + more.locations)
            master = self._start("nginx.conf", self.cores.measured, self.probe_port)
            self.workers = workers_of(master, len(self.cores.measured))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._started:
            server.send_signal(signal.SIGTERM)
        for server in self._started:
            try:
                server.wait(START_LIMIT)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self.stores.stop()
        shutil.rmtree(self._run)

    def errors(self) -> str:
        log = self._run / "error.log"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def _write(self, name: str, text: str) -> None:
        file = self._run / name
        file.touch(0o600)  # it may hold the password of a store
        file.write_text(text, "utf-8")

    def _start(self, template: str, cores: list[int], port: int) -> int:
        """Starts nginx with a filled-in template and waits until it listens; the process id of its master."""
        text = (HERE / template).read_text("utf-8")
        for name, value in {
            "RUN": self._run,
            "MODULE": self._module,
            "WORKERS": len(cores),
            "CPU_MASK": " ".join(f"{1 << core:b}" for core in cores),
            # Else one worker may take most of the connections.
            "SHARED": "reuseport" if len(cores) > 1 else "",
            "PORT": self.port,
            "PROBE_PORT": self.probe_port,
            "UPSTREAM_PORT": self._upstream_port,
        }.items():
            text = text.replace(f"@{name}@", str(value))
        conf = self._run / template
        conf.write_text(text, "utf-8")
        command = [self._binary, "-e", self._run / "error.log", "-p", self._run, "-c", conf]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._started.append(server)
        wait_for(server, port)
        return server.pid


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = server.stderr.read().decode("utf-8", "replace") if server.stderr else ""
            raise ServerError(f"nginx ended at once:\n{said}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise ServerError(f"nginx did not listen on port {port} within {START_LIMIT:.0f} s")


def workers_of(master: int, count: int) -> list[int]:
    """The worker processes of a master, which listens a little before it has them."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        found = [entry for entry in processes if parent_of(entry) == master and b"worker process" in command_of(entry)]
        if len(found) == count:
            return [int(entry.name) for entry in found]
        time.sleep(0.05)
    raise ServerError("nginx has not all of its worker processes")


def parent_of(process: Path) -> int | None:
    try:
        # The name of the program is in brackets and may hold anything.
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def command_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def cookie_makers(places: dict[str, str], jars: dict[str, str]) -> str:
    """Locations /make/NAME, each setting the cookies of a session with its own kind of data; `places` and `jars` have the names
    of those whose sessions are in a backend, and the backends."""
    user = {"user": "ann@example.org", "role": "editor", "locale": "en_GB", "seen": "never"}
    random = Random(1)

    def token(size: int) -> str:
        return "".join(random.choices(ascii_letters + digits + "-_", k=size))

    # What an application says of itself deflates well, what an identity provider hands out does not.
    groups = {
        f"group-{n:02}": f"https://directory.example.org/departments/{n}/members: reads and writes documents of the department"
        for n in range(25)
    }
    tokens = {"access_token": token(1200), "id_token": token(1200), "refresh_token": token(500)}
    five = "session_cookie_jar on; proxy_pass http://behind/jar/five;"
    return "\n".join(
        [
            *(
                maker(name, data)
                for kind, data in {"small": user, "text": user | groups, "tokens": user | tokens}.items()
                for name in (kind, f"unknown-{kind}")
            ),
            maker("plain", user | tokens, "session_compression_threshold 0;"),
            maker("foreign", user, "session_secret another;"),
            maker("jar", user, content=five),
        ]
        + [maker(name, user, f"session_storage {backend};") for name, backend in places.items()]
        + [maker(name, user, f"session_storage {backend};", five) for name, backend in jars.items()]
    )


def maker(name: str, data: dict[str, str], line: str = "", content: str = "empty_gif;") -> str:
    values = "".join(f'    session_set {key} "{value}";\n' for key, value in data.items())
    return f"location = /make/{name} {{\n    session start; {line}\n{values}    {content}\n}}\n"
