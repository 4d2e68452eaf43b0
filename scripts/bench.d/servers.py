"""The two nginx of a run: the one that is measured, and the program behind its proxy_pass."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters, digits
from random import Random

HERE = Path(__file__).parent
START_LIMIT = 10.0


class ServerError(Exception):
    """nginx did not do what it was started for."""


@dataclass(frozen=True)
class Cores:
    """Where the two sides of the measurement run."""

    measured: int
    load: int

    @property
    def are_one(self) -> bool:
        return self.measured == self.load


def choose_cores(share: bool) -> Cores:
    """The last core this process may use for nginx; for the load the one before it, or the same one to share."""
    allowed = sorted(os.sched_getaffinity(0))
    other = allowed[-1] if share or len(allowed) == 1 else allowed[-2]
    return Cores(measured=allowed[-1], load=other)


class Servers:
    """Started on entry, ended and swept away on exit."""

    def __init__(self, binary: Path, module: Path, cores: Cores) -> None:
        self._binary = binary
        self._module = module
        self._cores = cores
        self._started: list[subprocess.Popen[bytes]] = []
        self.port, self.probe_port, self._upstream_port = free_ports(3)

    def __enter__(self) -> "Servers":
        self._run = Path(tempfile.mkdtemp(prefix="nginx-session-bench."))
        self._run.chmod(0o755)  # nginx's worker may be another user
        try:
            self._start("upstream.conf", self._cores.load, self._upstream_port)
            (self._run / "cookies.conf").write_text(cookie_makers(), "utf-8")
            shutil.copy(HERE / "locations.conf", self._run)
            master = self._start("nginx.conf", self._cores.measured, self.probe_port)
            self.worker = worker_of(master)
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
        shutil.rmtree(self._run)

    def errors(self) -> str:
        log = self._run / "error.log"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def _start(self, template: str, core: int, port: int) -> int:
        """Starts nginx with a filled-in template and waits until it listens; the process id of its master."""
        text = (HERE / template).read_text("utf-8")
        for name, value in {
            "RUN": self._run,
            "MODULE": self._module,
            "CPU_MASK": f"{1 << core:b}",
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


def worker_of(master: int) -> int:
    """The one worker process of a master, which listens a little before it has one."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and parent_of(entry) == master and b"worker process" in command_of(entry):
                return int(entry.name)
        time.sleep(0.05)
    raise ServerError("nginx has no worker process")


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


def cookie_makers() -> str:
    """Locations /make/NAME, each setting the cookies of a session with its own kind of data."""
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
    return "\n".join(
        [
            maker("small", user),
            maker("text", user | groups),
            maker("tokens", user | tokens),
            maker("plain", user | tokens, "session_compression_threshold 0;"),
            maker("foreign", user, "session_secret another;"),
        ]
    )


def maker(name: str, data: dict[str, str], line: str = "") -> str:
    values = "".join(f'    session_set {key} "{value}";\n' for key, value in data.items())
    return f"location = /make/{name} {{\n    session start; {line}\n{values}    empty_gif;\n}}\n"
