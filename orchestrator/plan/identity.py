"""What determines a trial's result, as hashes: its config with its seed, its data, the code that computes.

    config   8 hex digits of the config's hash are the trial's id
    data     the digest that `perceiver.data` gives of a data set; None where the set can't be seen from here
    code     the content of all that the training function needs, wherever it lies; see `closure`

Nothing else does: not the resources, the paths, the order of keys, the number of workers.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

from orchestrator.plan.remembered_code import PACKAGE, remembered_digest
from perceiver.config import RunConfig, determining

ID_LENGTH = 8
EQUAL_CODE = Path(__file__).with_name("equal_code.json")


def canonical(config: RunConfig) -> str:
    """The determining keys of a config as one JSON text: sorted, validated, so that 1 and 1.0 are the same level."""
    return json.dumps(determining(config), sort_keys=True, separators=(",", ":"))


def config_digest(config: RunConfig) -> str:
    """SHA-256 of the canonical config, in hex."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()


def identity(config_digest: str, data_digest: str | None, code_digest: str) -> str:
    """One hash of everything that determines a result; data that can't be seen has its own, which matches nothing."""
    parts = {"config": config_digest, "data": data_digest, "code": code_digest}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def mixed_identity(begun: str, code_digest: str) -> str:
    """The identity of a trial that goes on under other code than it was begun by: it matches no other trial's."""
    return hashlib.sha256(
        json.dumps({"begun": begun, "went on by code": code_digest}, sort_keys=True).encode()
    ).hexdigest()


@cache
def code_digest(package: Path | None = None) -> str:
    """SHA-256 of the code that computes; of code that was changed without changing a result, still the old one.

    `equal_code.json` keeps which digests these are, as lists with the oldest first. Only `make equal-code` writes it,
    after it has found the results of reference configurations equal bit by bit under both codes.
    """
    digest = remembered_digest(package or PACKAGE)
    return next((codes[0] for codes in equal_codes() if digest in codes), digest)


def equal_codes() -> list[list[str]]:
    """Digests of codes that give the same results, the oldest first in each list."""
    codes: list[list[str]] = json.loads(EQUAL_CODE.read_text(encoding="utf-8"))["codes"]
    return codes
