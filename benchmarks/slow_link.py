"""A proxy that makes a server on this machine as slow as one at the end of a real link.

Each connection has its own bandwidth in each direction, and each request and each answer
waits for half of the round trip before its first byte. So one connection is slow and several
in parallel are faster, as with S3.
"""

import asyncio
import sys
import time
from contextlib import closing, suppress

BYTES_PER_SECOND = 25e6
ROUND_TRIP_SECONDS = 0.020
_PIECE = 1 << 16
_QUIET_SECONDS = 0.005
"""After this time without a byte, the next byte belongs to another request or answer."""


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on the bytes of one direction of a connection."""
    begun = last = time.monotonic()
    sent = 0
    with closing(writer):
        while piece := await reader.read(_PIECE):
            if not sent or time.monotonic() - last > _QUIET_SECONDS:
                await asyncio.sleep(ROUND_TRIP_SECONDS / 2)
                begun, sent = time.monotonic(), 0
            sent += len(piece)
            writer.write(piece)
            await writer.drain()
            ahead = begun + sent / BYTES_PER_SECOND - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            last = time.monotonic()


async def serve(server_port: int) -> None:
    """Forward connections to a port of this machine, and print the port of the proxy."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", server_port)
        with suppress(ConnectionError):
            await asyncio.gather(forward(reader, to_writer), forward(to_reader, writer))

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as proxy:
        print(proxy.sockets[0].getsockname()[1], flush=True)
        await proxy.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
