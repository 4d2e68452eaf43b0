#!/usr/bin/env python3
"""A stand-in for the server of ngx-distributed-shm, which no registry has: it speaks the protocol as the server's source does.

Usage: dshm.py PORT
"""

import asyncio
import sys
import time

values = {}


def shown(value):
    # The server counts the units of UTF-16.
    length = len(value.decode("utf-8", "replace").encode("utf-16-le")) // 2
    return b"LEN %d\r\n%s\r\nDONE\r\n" % (length, value)


def end_of(ttl):
    return time.time() + ttl if ttl > 0 else None


def live(name):
    value, end = values.get(name, (None, None))
    if end is not None and end <= time.time():
        del values[name]
        return None
    return value


async def reply(words, reader):
    match words:
        case ["set", name, ttl, size]:
            # The data has no end of line behind it.
            value = await reader.readexactly(int(size))
            values[name] = (value, end_of(int(ttl)))
            return shown(value)
        case ["get", name]:
            value = live(name)
            return b"ERROR not_found\r\n" if value is None else shown(value)
        case ["touch", name, ttl]:
            value = live(name)
            if value is not None:
                values[name] = (value, end_of(int(ttl)))
            return b"DONE\r\n"
        case ["delete", name]:
            values.pop(name, None)
            return b"DONE\r\n"
        case ["names"]:
            # Not the protocol's: for tests.
            names = " ".join(name for name in list(values) if live(name) is not None)
            return shown(names.encode())
        case _:
            return b"ERROR malformed_request\r\n"


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            words = line.decode().rstrip("\r\n").split(" ")
            if words == ["quit"]:
                break
            writer.write(await reply(words, reader))
            await writer.drain()
    except (OSError, ValueError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


asyncio.run(main())
