"""The stores of a run: shared memory of nginx, and servers that the bench starts."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NAMES = ("shm", "redis", "postgres")
START_LIMIT = 30.0
POLL = 0.02


class StoreError(Exception):
    """A store did not start."""


class Server:
    """One server: started, and ended by its process id."""

    def __init__(self, folder: Path, port: int, cores: list[int]) -> None:
        self.port = port
        self._folder = folder
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None

    def processes(self) -> list[int]:
        """The server's own and those that it has started."""
        if self._process is None:
            return []
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            children = []
        return [pid] + [int(child) for child in children]

    def stop(self) -> None:
        if self._process is None:
            return
        # To postgres this means: without waiting for clients. redis-server ends by it as well.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _run(self, command: list[str | Path], ask: list[str | Path], environment: dict[str, str] | None = None) -> None:
        """Starts `command` and waits until `ask` succeeds."""
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                pinned(self._cores) + command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_LIMIT
        while subprocess.run(ask, capture_output=True, env=environment, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "log").read_text("utf-8", "replace")
                raise StoreError(f"{command[-1]} does not start:\n{said[-4000:]}")
            time.sleep(POLL)


class Redis(Server):
    """Without persistence."""

    def start(self) -> None:
        program = find("redis-server", shutil.which("redis-server"))
        port = str(self.port)
        options = ["--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", str(self._folder)]
        self._run([program, *options], ["redis-cli", "-p", port, "-e", "PING"])

    def backend(self) -> str:
        return redis_backend("redis", self.port)


class Postgres(Server):
    """Without waiting for the disk, which is not what is measured."""

    USER = "nginx"

    def start(self) -> None:
        # Never as root: the server refuses to.
        unprivileged = as_user("postgres", self._folder)
        self._password = secrets.token_hex(16)
        word = self._folder / "password"
        word.write_text(self._password, "utf-8")
        own(word)
        make = ["-D", self._folder / "data", "-U", self.USER, "--pwfile", word, "--auth", "scram-sha-256", "--no-sync", "--no-locale"]
        made = subprocess.run(unprivileged + [program_of_postgres("initdb"), *make], capture_output=True, text=True, check=False)
        if made.returncode:
            raise StoreError(f"initdb failed:\n{made.stderr}")
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"]
        environment = os.environ | {"PGPASSWORD": self._password}
        client = [program_of_postgres("psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", self.USER, "-d", "postgres", "-Xq"]
        self._run(
            unprivileged + [program_of_postgres("postgres"), "-D", self._folder / "data", *options],
            [*client, "-c", "SELECT 1"],
            environment,
        )
        schema = subprocess.run([ROOT / "scripts/schema", "postgres"], capture_output=True, check=True).stdout
        subprocess.run([*client, "-v", "ON_ERROR_STOP=1"], input=schema, capture_output=True, env=environment, check=True)

    def backend(self) -> str:
        return (
            f"session_backend postgres postgres {{ server 127.0.0.1:{self.port}; database postgres; "
            f"username {self.USER}; password {self._password}; timeout 10s; }}"
        )


class Stores:
    """Those that the rows need."""

    def __init__(self, names: Iterable[str], folder: Path, ports: list[int], cores: list[int]) -> None:
        self._servers: dict[str, Server] = {}
        self._lines: list[str] = []
        kinds = {"redis": Redis, "postgres": Postgres}
        for name in NAMES:
            if name in names and name in kinds:
                room = folder / name
                room.mkdir()
                self._servers[name] = kinds[name](room, ports.pop(), cores)

    def start(self) -> None:
        for server in self._servers.values():
            server.start()

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()

    def processes(self, name: str | None) -> list[int]:
        server = self._servers.get(name or "")
        return server.processes() if server else []

    def port(self, name: str) -> int:
        return self._servers[name].port

    def configuration(self) -> str:
        """The backends. Saves have a zone of their own: a full one drops sessions, and those of checks must stay."""
        zones = [f"session_backend {name} shm {{ size 32m; }}" for name in ("shm", "shm_save", "shm_jar")]
        # To find out how many sessions fit into it.
        zones.append("session_backend shm_fill shm { size 8m; evict off; }")
        return "\n".join(zones + [server.backend() for server in self._servers.values()]) + "\n"

    def locations(self) -> str:
        names = ["shm", *self._servers]
        return "\n".join(locations_of(name) for name in names)

    def places(self) -> dict[str, str]:
        """Which backend has the sessions that /make/NAME makes."""
        names = ["shm", *self._servers]
        saves = {f"{name}-{kind}": save_of(name, kind) for name in names for kind in ("save", "told")}
        return {name: name for name in names} | saves | {"fill": "shm_fill"}

    def jars(self) -> dict[str, str]:
        """The same for sessions with five cookies in the jar."""
        return {f"{name}-jar": save_of(name, "jar") for name in ["shm", *self._servers]}


# Every save brings the cookie of the set-up, whose record is kept for session_stale_ttl after each.
LOCATIONS = """
location = /@NAME@/check {
    session         start;
    session_storage @NAME@;
    empty_gif;
}

location = /@NAME@/save {
    session           start;
    session_storage   @SAVE@;
    session_stale_ttl 1h;
    session_set       seen $msec;
    empty_gif;
}

location = /@NAME@/jar-control {
    session           start;
    session_storage   @JAR@;
    session_hide      on;
    proxy_hide_header Set-Cookie;
    proxy_pass        http://behind/jar/change;
}

location = /@NAME@/jar {
    session            start;
    session_storage    @JAR@;
    session_stale_ttl  1h;
    session_cookie_jar on;
    proxy_pass         http://behind/jar/change;
}

location = /@NAME@/told-control {
    session           start;
    session_storage   @SAVE@;
    session_hide      on;
    proxy_hide_header X-Session-Data;
    proxy_pass        http://behind/told;
}

location = /@NAME@/told {
    session           start;
    session_storage   @SAVE@;
    session_stale_ttl 1h;
    session_hide      on;
    session_control   on;
    proxy_pass        http://behind/told;
}
"""


def redis_backend(name: str, port: int) -> str:
    return f"session_backend {name} redis {{ server 127.0.0.1:{port}; timeout 10s; }}"


def locations_of(name: str) -> str:
    text = LOCATIONS.replace("@NAME@", name)
    return text.replace("@SAVE@", save_of(name)).replace("@JAR@", save_of(name, "jar"))


def save_of(name: str, kind: str = "save") -> str:
    """The backend that these saves go to: in shared memory those of a kind may drop the sessions of another."""
    if name != "shm":
        return name
    return "shm_jar" if kind == "jar" else "shm_save"


def pinned(cores: list[int]) -> list[str | Path]:
    return ["taskset", "-c", ",".join(map(str, cores))]


def find(package: str, program: str | None) -> str:
    if program is None:
        raise StoreError(f"{package} is not there: install the package {package}, or leave its rows out with --only")
    return program


def program_of_postgres(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return find("postgresql", str(found[-1]) if found else shutil.which(name))


def as_user(name: str, folder: Path) -> list[str | Path]:
    """What makes root be another user, whose the folder becomes; nothing for anybody else."""
    if os.geteuid() != 0:
        return []
    own(folder)
    group = pwd.getpwnam(name).pw_gid
    return ["setpriv", "--reuid", name, "--regid", str(group), "--clear-groups"]


def own(path: Path) -> None:
    """Gives a file of Postgres to its user, and shows it to nobody else."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            raise StoreError("there is no user postgres: install the package postgresql") from None
        os.chown(path, user.pw_uid, user.pw_gid)
