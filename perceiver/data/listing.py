"""A split as its lists and one listing of its folder have it: what workers compare with what was planned.

Cheap: no file is looked into. Where a file keeps its name and size and changes its content, only the digest tells.
"""

from hashlib import sha256

from perceiver.data.audioset import DataSource, Segment, Split
from perceiver.data.files import name_of
from perceiver.errors import DataError


class Listing:
    """Adds up the rows of a split; its text says how many, in how many bytes of files, and a hash of each."""

    def __init__(self) -> None:
        self.rows, self._bytes = 0, 0
        self._of_rows, self._of_files = sha256(), sha256()

    def add(self, row: Segment) -> None:
        """Takes in a row and its file's name and size."""
        self.rows += 1
        self._bytes += row.size
        self._of_rows.update(text_of(row).encode())
        self._of_files.update(f"{name_of(row.path)} {row.size}\n".encode("utf-8", "surrogateescape"))

    def __str__(self) -> str:
        rows, files = (sha.hexdigest()[:12] for sha in (self._of_rows, self._of_files))
        return f"{self.rows:,} rows ({rows}), files of {self._bytes:,} bytes ({files})"


def text_of(row: Segment) -> str:
    """What a row says, and whether its file's name says that it was cut; neither where the file is nor its name."""
    return f"{row.id} {row.start!r} {row.end!r} {row.labels} {row.trimmed}\n"


def require_planned(source: DataSource, split: Split, listing: Listing) -> None:
    """Raises DataError where a split is not as it was where the sweep was planned."""
    planned = source.planned.listing.get(split, "") if source.planned else ""
    if planned and planned != str(listing):
        raise DataError(
            f"{source.url} is not the data set that was planned with: its {split} split had {planned}, and has "
            f"{listing} here. Plan again where it changed; where nodes have copies of their own, make them the same"
        )
