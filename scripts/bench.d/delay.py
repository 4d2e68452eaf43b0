"""Stands in front of a server on loopback and brings its answers later, as if the server were far away.

Usage: delay.py SERVER-PORT MILLISECONDS          prints the port it listens on
"""

import asyncio
import selectors
import sys
from collections import deque

PORTION = 1 << 18


class Line:
    """One connection's way back: everything arrives in order, and each part so much later, however many are under way."""

    def __init__(self, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._writer = writer
        self._seconds = seconds
        self._under_way: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        self._under_way.append(data)
        asyncio.get_running_loop().call_later(self._seconds, self._arrive)

    def _arrive(self) -> None:
        data = self._under_way.popleft()
        if data:
            self._writer.write(data)
        else:
            self._writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, seconds: float) -> None:
    try:
        there, back = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    line = Line(writer, seconds)

    async def forth() -> None:
        while data := await reader.read(PORTION):
            back.write(data)
            await back.drain()
        back.close()

    async def late() -> None:
        while data := await there.read(PORTION):
            line.send(data)
        line.send(b"")

    await asyncio.gather(forth(), late(), return_exceptions=True)


async def main() -> None:
    port, milliseconds = int(sys.argv[1]), float(sys.argv[2])
    server = await asyncio.start_server(lambda *ends: serve(*ends, port, milliseconds / 1000), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def loop() -> asyncio.AbstractEventLoop:
    """One that keeps time: epoll counts in whole milliseconds, and waits for one more."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        pass
