"""Random numbers that are a pure function of what they are for.

Every draw has an address: the seed, its purpose, a number. No state is carried from one draw to the next, so a step
draws the same whatever ran before it, on any number of workers; and a draw that one trial does not use shifts no
other, so trials of a sweep are compared on common random numbers.
"""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def seed_for(*address: str | int) -> int:
    """63 bits drawn for an address, such as ("clip", 7, 1234)."""
    return int.from_bytes(hashlib.blake2b(repr(address).encode(), digest_size=8).digest(), "little") >> 1


def generator(*address: str | int) -> np.random.Generator:
    """A numpy generator for an address, for permutations."""
    return np.random.Generator(np.random.PCG64(seed_for(*address)))


def uniform(seeds: np.ndarray, slot: int) -> np.ndarray:
    """One number in [0, 1) per seed, float64, the `slot`-th of its independent draws.

    splitmix64 (Steele, Lea and Flood 2014, figure 15) evaluated at seed + (slot + 1) * golden ratio.
    """
    with np.errstate(over="ignore"):
        z = seeds.astype(np.uint64) + np.uint64(slot + 1) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
