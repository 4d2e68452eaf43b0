#!/usr/bin/env python3
"""A proxy on loopback that does to connections what networks do.

Usage: faultproxy.py LISTEN-PORT SERVER-PORT CONTROL-PORT

A line to the control port says what happens from then on, to connections old and new; `+` is the answer:

  ok          nothing
  delay MS    what the server says comes so much later
  hang        nothing comes through any more
  cut N       a connection ends after N more bytes from the server
  reset N     the same, with RST
  drip N MS   what the server says comes in bits of N bytes, with a pause between them
  refuse      connections are closed, new ones are refused
"""

import asyncio
import socket
import struct
import sys


class Proxy:
    def __init__(self, port, server):
        self.port = port
        self.server = server
        self.fault = ["ok"]
        self.left = 0
        self.listener = None
        self.connections = set()

    async def listen(self):
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def change(self, words):
        self.fault = words
        if words[0] in ("cut", "reset"):
            self.left = int(words[1])
        if words[0] == "refuse":
            if self.listener:
                self.listener.close()
                self.listener = None
            for task in list(self.connections):
                task.cancel()
        elif not self.listener:
            await self.listen()

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.connections.add(task)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server)
            up = asyncio.create_task(self.pump(reader, server_writer, self.ask))
            down = asyncio.create_task(self.pump(server_reader, writer, self.answer))
            try:
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                up.cancel()
                down.cancel()
                server_writer.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.connections.discard(task)

    @staticmethod
    async def pump(reader, writer, send):
        try:
            while data := await reader.read(65536):
                if not await send(writer, data):
                    return
        except OSError:
            pass

    async def ask(self, writer, data):
        if self.fault[0] == "hang":
            await asyncio.sleep(3600)
        writer.write(data)
        await writer.drain()
        return True

    async def answer(self, writer, data):
        name, *values = self.fault
        values = [int(value) for value in values]
        if name == "hang":
            await asyncio.sleep(3600)
        if name == "delay":
            await asyncio.sleep(values[0] / 1000)
        if name == "drip":
            for at in range(0, len(data), values[0]):
                writer.write(data[at : at + values[0]])
                await writer.drain()
                await asyncio.sleep(values[1] / 1000)
            return True
        if name in ("cut", "reset") and len(data) >= self.left:
            writer.write(data[: self.left])
            await writer.drain()
            if name == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            return False
        self.left -= len(data)
        writer.write(data)
        await writer.drain()
        return True


async def main():
    listen, server, control = map(int, sys.argv[1:4])
    proxy = Proxy(listen, server)

    async def steer(reader, writer):
        words = (await reader.readline()).decode().split()
        if words:
            await proxy.change(words)
            writer.write(b"+\n")
            await writer.drain()
        writer.close()

    await proxy.listen()
    async with await asyncio.start_server(steer, "127.0.0.1", control):
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
