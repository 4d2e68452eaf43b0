"""What sessions cost in memory: a worker, one session in shared memory, the module's file."""

import re
import subprocess
from pathlib import Path

import load
import probe
from rows import ROWS
from servers import Servers
from stores import NAMES

# Bytes of the zone shm_fill.
ZONE = 8 << 20
FILL_SECONDS = 0.5
FILL_PORTIONS = 60
USE_SECONDS = 0.15


def table(servers: Servers, generator: load.Generator, module: Path) -> str:
    """Markdown that reads well on a terminal too."""
    lines = [("a worker without the module", resident(servers.bare_worker))]
    lines.append(("a worker with the module, before its first request", resident(servers.workers[0])))
    for name in NAMES:
        for row in (row for row in ROWS if row.store == name):
            cookies = probe.make(servers.probe_port, str(row.cookie), row.sessions)
            target = load.Target(f"http://127.0.0.1:{servers.port}{row.path}", cookies)
            load.run_wrk(target, generator, load.Situation(), USE_SECONDS)
        lines.append((f"the same after load on {name} too", resident(servers.workers[0])))
    lines.append(("a session of 100 B in shm", f"{ZONE / fill(servers, generator):.0f} bytes of the zone"))
    lines += sections(module)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"| {name.ljust(width)} | {text} |" for name, text in lines)


def resident(worker: int) -> str:
    now = load.resident(worker)
    return f"{now.all_kb / 1024:.1f} MB, of which {now.own_kb / 1024:.1f} MB its own"


def fill(servers: Servers, generator: load.Generator) -> int:
    """How many sessions fit into the zone that refuses them when it is full."""
    count = 0
    for _ in range(FILL_PORTIONS):
        target = load.Target(f"http://127.0.0.1:{servers.probe_port}/make/fill")
        seen = load.run_wrk(target, generator, load.Situation(), FILL_SECONDS)
        count += seen.requests - seen.refused
        if seen.broken:
            break
        if seen.refused:
            return count
    raise load.LoadError(f"a zone of {ZONE} bytes was not filled by {count} sessions")


def sections(module: Path) -> list[tuple[str, str]]:
    said = subprocess.run(["size", "--format=sysv", module], capture_output=True, text=True, check=True).stdout
    sizes = {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)\s", said, re.MULTILINE)}
    code, constants = sizes.get(".text", 0), sizes.get(".rodata", 0)
    rest = sum(size for name, size in sizes.items() if not name.startswith((".debug", ".comment"))) - code - constants
    megabytes = [f"{size / (1 << 20):.1f} MB" for size in (module.stat().st_size, code, constants, rest)]
    return [("the module's file", "{}: code {}, constants {}, tables for loading it {}, the rest symbols and lines".format(*megabytes))]
