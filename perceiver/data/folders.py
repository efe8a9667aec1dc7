"""What lies below a folder: of this machine, where links may lead in circles, or of a web server, whose folders are
pages of links. Hidden folders are passed by."""

import html
import os
from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any
from urllib.parse import urljoin

from perceiver.errors import StorageError

_NOT_OURS = "lost+found"
"""A folder that a file system has for itself, and that nobody may look into."""

About = tuple[int, str]
"""A file's size, and what changes when it does."""


def walk(root: str) -> Iterator[tuple[str, About]]:
    """Path of each file, its size, and its times of change.

    A folder that several links lead to is walked once, by the name that is no link, or else by the first; so it is with
    a file that several links of one name lead to. Links of another name are files of their own: a name is an id.

    Raises:
        StorageError: a folder can't be read.
    """
    found, linked = dict[str, About](), False
    folders, links, seen = [root], list[str](), set[tuple[int, int]]()
    while folders or links:
        folder = folders.pop() if folders else heappop(links)
        for entry in _entries(folder, seen):
            try:
                is_folder, about = entry.is_dir(), entry.stat()
            except OSError as error:
                if entry.is_symlink() or isinstance(error, FileNotFoundError):
                    continue  # it leads nowhere
                raise StorageError(f"{entry.path} can't be looked at: {error}", error.errno) from error
            linked = linked or entry.is_symlink() or about.st_nlink > 1
            if not is_folder:
                found[entry.path] = about.st_size, f"{about.st_mtime_ns} {about.st_ctime_ns}"
            elif not entry.name.startswith("."):
                heappush(links, entry.path) if entry.is_symlink() else folders.append(entry.path)
    yield from (_once(found) if linked else found).items()


def _entries(folder: str, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing of one that was walked, or is not there."""
    try:
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen:
            return []
        seen.add((about.st_dev, about.st_ino))
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if isinstance(error, PermissionError) and os.path.basename(folder) == _NOT_OURS:
            return []
        raise StorageError(f"{folder} can't be listed: {error}", error.errno) from error


def _once(found: dict[str, About]) -> dict[str, About]:
    """Of the links of one name that lead to the same file, the one that is none, or else the first."""
    names = Counter(os.path.basename(path) for path in found)
    kept: dict[tuple[str, int, int], str] = {}
    for path in sorted(found, key=lambda path: (os.path.islink(path), path)):
        name = os.path.basename(path)
        if names[name] > 1:
            about = os.stat(path)
            if kept.setdefault((name, about.st_dev, about.st_ino), path) != path:
                del found[path]
    return found


def pages_below(filesystem: Any, url: str) -> dict[str, dict[str, Any]]:
    """URL of each file that the pages below a web server's folder link to; servers tell neither size nor time there.

    A page with the links of one above it is that one again: a link on the server leads in a circle.
    """
    found: dict[str, dict[str, Any]] = {}
    pages: list[tuple[str, list[frozenset[str]]]] = [(url.rstrip("/") + "/", [])]
    while pages:
        page, above = pages.pop()
        links = _links(filesystem, page)
        names = frozenset(link.removeprefix(page) for link in links)
        if names in above and any(not name.endswith("/") for name in names):
            continue
        for link, name in ((link, link.removeprefix(page)) for link in links):
            if not name.endswith("/"):
                found[link] = {}
            elif not name.startswith("."):
                pages.append((link, [*above, names]))
    return found


def _links(filesystem: Any, page: str) -> list[str]:
    """What lies directly in a web server's folder: no way up, no link that only sorts the page."""
    try:
        listed = filesystem.ls(page, detail=False)
    except FileNotFoundError:
        return []
    links = {urljoin(page, html.unescape(link.removeprefix(page))) for link in listed}
    ours = [link for link in links if link.startswith(page) and not {"?", "#"} & set(link)]
    return sorted(link for link in ours if link.removeprefix(page).rstrip("/").count("/") == 0 and link != page)
