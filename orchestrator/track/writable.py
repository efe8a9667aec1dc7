"""Whether storage can be written, found out by writing; what was written is removed, and no folder is left behind."""

import errno
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import Refused, Unreachable
from orchestrator.track.storage import filesystem

_NO_LEAVE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EDQUOT}
_NO_CREDENTIALS = (
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),  # botocore
    *("NoAuthTokenError", "ProfileNotFound", "UnauthorizedSSOTokenError", "DefaultCredentialsError"),  # and Google's
)


def require_writable(url: str) -> None:
    """Returns if files can be written below a folder, which may have to be made first.

    Raises:
        Refused: it answers, and does not let us.
        Unreachable: it does not answer.
    """
    try:
        fs, path = filesystem(url)
    except Unreachable as error:
        raise Refused(str(error)) from None  # an unknown protocol, or one whose package is missing
    try:
        if is_local(fs):
            _write_below(Path(path))
        else:
            _write_object(fs, f"{path.rstrip('/')}/.writable-{secrets.token_hex(8)}")
    except Exception as error:  # botocore and friends have trees of their own
        raise refusal(f"{url} can't be written", error) from error


def is_local(fs: object) -> bool:
    """Whether a filesystem is this machine's."""
    protocol = getattr(fs, "protocol", ())
    return "file" in (protocol if isinstance(protocol, tuple) else (protocol,))


def refusal(what: str, error: Exception) -> Refused | Unreachable:
    """What storage said: that it does not let us, or nothing that could be taken for an answer."""
    causes, why = list(_causes(error)), getattr(error, "strerror", None) or error
    if lacks_credentials(error):
        return Refused(f"{what}: there are no credentials for it; set them in the environment ({why})")
    if any(isinstance(cause, PermissionError | FileNotFoundError | NotImplementedError) for cause in causes):
        return Refused(f"{what}: {why}")
    if any(isinstance(cause, OSError) and cause.errno in _NO_LEAVE for cause in causes):
        return Refused(f"{what}: {why}")
    return Unreachable(f"{what}: {why}")


def lacks_credentials(error: BaseException) -> bool:
    """Whether a storage's library found no credentials."""
    return any(type(cause).__name__ in _NO_CREDENTIALS for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _write_below(folder: Path) -> None:
    """Writes where the folder is, or where it would be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    with tempfile.TemporaryFile(dir=there) as file:
        file.write(b"yes")


def _write_object(fs: object, path: str) -> None:
    fs.pipe_file(path, b"yes")  # type: ignore[attr-defined]
    with suppress(Exception):  # a role may be allowed to write and not to delete
        fs.rm_file(path)  # type: ignore[attr-defined]
