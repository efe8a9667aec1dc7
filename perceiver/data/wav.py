"""Sound of a stored clip as a wav file: 16-bit samples, or floats where some lie beyond what those can hold."""

import struct

import numpy as np

HEAD = 64
"""Bytes that hold a whole header of ours."""
_PCM, _FLOAT = 1, 3
_FORMATS = {(_PCM, 16): "<i2", (_FLOAT, 32): "<f4"}


def write_wav(samples: np.ndarray, rate: int) -> bytes:
    """A mono wav file of float32 (S,): 16 bits a sample where all lie in [-1, 1], else float32 as they are."""
    if np.abs(samples).max(initial=0.0) <= 1.0:
        data = np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2").tobytes()
        return _with_header(_PCM, 16, rate, data)
    return _with_header(_FLOAT, 32, rate, samples.astype("<f4").tobytes())


def read_head(head: bytes) -> tuple[np.dtype, int]:
    """Type of a wav file's samples and the position of their first byte, from the file's first `HEAD` bytes.

    Raises:
        ValueError: no wav file, or of a form that `write_wav` does not write.
    """
    position, form = 12, (0, 0)
    try:
        while True:
            name, size = struct.unpack_from("<4sI", head, position)
            position += 8
            if name == b"data":
                return np.dtype(_FORMATS[form]), position
            if name == b"fmt ":
                tag, bits = struct.unpack_from("<H12xH", head, position)
                form = tag, bits
            position += size
    except (struct.error, KeyError):
        raise ValueError(f"no wav file of 16 bits or floats: {head!r}") from None


def _with_header(tag: int, bits: int, rate: int, data: bytes) -> bytes:
    size = bits // 8
    form = struct.pack("<HHIIHH", tag, 1, rate, rate * size, size, bits)
    chunks = [(b"fmt ", form)]
    if tag != _PCM:  # then the format says how long its own extension is, and a chunk how many samples there are
        chunks = [(b"fmt ", form + b"\0\0"), (b"fact", struct.pack("<I", len(data) // size))]
    chunks.append((b"data", data))
    body = b"WAVE" + b"".join(struct.pack("<4sI", name, len(part)) + part for name, part in chunks)
    return struct.pack("<4sI", b"RIFF", len(body)) + body
