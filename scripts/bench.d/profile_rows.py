"""Where the time goes: what perf finds on the processor while a row is under load, in nanoseconds a request."""

import re
import shutil
import subprocess
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import load
import probe
import report
from measure import Plan
from rows import Row
from servers import Servers

SAMPLES_PER_SECOND = 4999
# The load has begun by then, and goes on as long afterwards.
LEAD = 0.3

# What is done in the module and the C library, by what stands in the names of the functions. The first that fits counts.
KINDS = (
    ("keys, MAC", r"sha2|hmac|hkdf|digest::|expand_multi_info|KeyRing|Binding"),
    ("AES", r"ring_core|ring::|aes_"),
    ("deflate", r"zlib_rs|flate2"),
    ("JSON", r"serde|scan::|lazy::|entry::|indexmap|hashbrown|sip::|hash_one|itoa|ryu"),
    ("base64", r"base64"),
    ("allocation", r"malloc|calloc|realloc|_int_free|cfree|unlink_chunk|\[\.\] free"),
    ("copying", r"mem(?:cpy|move|set|cmp|chr)"),
)
KERNEL, NGINX, LIBRARIES, MODULE = "kernel", "nginx", "libraries", "module"
ORDER = (KERNEL, NGINX, LIBRARIES, *(name for name, _ in KINDS), MODULE)


class ProfileError(Exception):
    """perf is missing, or may not look."""


def table(servers: Servers, rows: list[Row], generator: load.Generator, plan: Plan) -> str:
    """A line for each row, a column for each kind of work; the module's own is what no other kind is."""
    if not shutil.which("perf"):
        raise ProfileError("there is no perf: run scripts/setup bench, or install linux-perf")
    cookies = probe.make_cookies(servers.probe_port, rows)
    found = {}
    for row in rows:
        target = load.Target(
            f"http://127.0.0.1:{servers.port}{row.path}",
            cookies[row.cookie] if row.cookie else [],
            lambda: load.cpu_of_all(servers.workers),
        )
        probe.check(servers.probe_port, row, target.cookies[0] if target.cookies else None)
        found[row.name] = profile(servers, target, generator, plan)
    lines = [("ns a request", *ORDER, "all")]
    lines += [(row.text, *(f"{found[row.name][kind]:,.0f}" for kind in ORDER), f"{found[row.name].total():,.0f}") for row in rows]
    return report.markdown(lines)


def profile(servers: Servers, target: load.Target, generator: load.Generator, plan: Plan) -> Counter[str]:
    """Nanoseconds of one request by kind of work."""
    load.run_wrk(target, generator, load.Situation(), plan.warm_up)
    with TemporaryDirectory(prefix="nginx-session-bench.") as folder:
        data = Path(folder, "perf.data")
        said: list[str] = []
        recording = threading.Thread(target=lambda: said.append(record(servers.workers, data, plan.seconds)))
        recording.start()
        measured = load.measure(target, generator, load.Situation(), plan.seconds + 2 * LEAD)
        recording.join()
        samples = kinds_of(samples_of(data)) if data.exists() else Counter()
    if not samples:
        raise ProfileError(f"perf saw nothing: {''.join(said).strip() or 'it gave no reason'}")
    ns = (measured.us_per_request or 0) * 1000 / samples.total()
    return Counter({kind: count * ns for kind, count in samples.items()})


def record(processes: list[int], data: Path, seconds: float) -> str:
    command = ["perf", "record", "--quiet", f"--freq={SAMPLES_PER_SECOND}", f"--pid={','.join(map(str, processes))}"]
    command += [f"--output={data}", "--", "sleep", str(seconds)]
    try:
        threading.Event().wait(LEAD)
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30).stderr
    except subprocess.TimeoutExpired:
        return "it did not end"


def samples_of(data: Path) -> str:
    command = ["perf", "report", f"--input={data}", "--stdio", "--no-children", "--fields=sample,dso,symbol", "--field-separator=|"]
    return subprocess.run(command, capture_output=True, text=True).stdout


def kinds_of(text: str) -> Counter[str]:
    samples: Counter[str] = Counter()
    for line in text.splitlines():
        if match := re.match(r"\s*(\d+)\s*\|([^|]*)\|(.*)", line):
            samples[kind_of(match[2].strip(), match[3])] += int(match[1])
    return samples


def kind_of(where: str, symbol: str) -> str:
    if "kernel" in where or "[k]" in symbol or where.startswith("[vdso"):
        return KERNEL
    if where == "nginx":
        return NGINX
    for kind, pattern in KINDS:
        if re.search(pattern, symbol):
            return kind
    return MODULE if "ngx_http_session" in where else LIBRARIES
