"""An http server on this machine that gives a folder's files and parts of them, late or not at all if a test says so.

A process of its own in benchmarks (`python tests/slow_server.py FOLDER --delay 0.05`), a thread in tests.
"""

import argparse
import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

Trouble = Callable[[str], str | None]
"""What goes wrong with a request for a path: a status such as "503", "reset", "stall", "drip", or None."""


class Server:
    """Answers GET and HEAD, each after `delay` seconds, side by side. `asked` counts the requests by path."""

    def __init__(self, folder: Path, delay: float = 0.0, trouble: Trouble = lambda path: None) -> None:
        self.folder, self.delay, self.trouble = folder, delay, trouble
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0

    async def start(self) -> asyncio.Server:
        """Listens at a free port of this machine."""
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    await self._answer(head, writer)
                finally:
                    self.at_once -= 1
        writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        path = unquote(target.split("?")[0])
        self.asked[path] += 1
        trouble = self.trouble(path)
        await asyncio.sleep(3600 if trouble == "stall" else self.delay)
        if trouble == "reset":
            writer.transport.abort()
            raise ConnectionError
        status, headers, body = ("404 Not Found", "", b"")
        if trouble is not None and trouble.isdigit():
            status = f"{trouble} Trouble"
        elif (self.folder / path.lstrip("/")).is_file():
            status, headers, body = self._part(self.folder / path.lstrip("/"), head)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode())
        for first in range(0, len(body), step := (len(body) // 20 + 1 if trouble == "drip" else 2**20)):
            if method == "GET":
                writer.write(body[first : first + step])
                await writer.drain()
                await asyncio.sleep(0.1 if trouble == "drip" else 0)

    def _part(self, file: Path, head: str) -> tuple[str, str, bytes]:
        about = 'Accept-Ranges: bytes\r\nETag: "1"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n'
        wanted = re.search(r"(?i)\r\nrange: bytes=(\d+)-(\d*)", head)
        with file.open("rb") as opened:
            if wanted is None:
                return "200 OK", about, opened.read()
            size, start = file.stat().st_size, int(wanted[1])
            if start >= size:
                return "416 Range Not Satisfiable", "", b""
            opened.seek(start)
            body = opened.read(min(int(wanted[2] or size), size - 1) - start + 1)
        return "206 Partial Content", f"{about}Content-Range: bytes {start}-{start + len(body) - 1}/{size}\r\n", body


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """The address of a server that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(_stop(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(listening: asyncio.Server) -> None:
    listening.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _main(options: argparse.Namespace) -> None:
    listening = await Server(options.folder, options.delay).start()
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    asyncio.run(_main(parser.parse_args()))
