"""Options that several verbs have."""

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import yaml

from orchestrator.errors import UsageError
from perceiver.config import YamlLoader
from perceiver.wording import nearest

Verb = Callable[..., None]


def site_option(command: Verb) -> Verb:
    return click.option("--site", help="Name of cluster/sites/NAME.yaml, or a path. Default: this machine.")(command)


def json_option(command: Verb) -> Verb:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def set_option(command: Verb) -> Verb:
    option = click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key; never stored.")
    return option(command)


def older_option(command: Verb) -> Verb:
    return click.option("--accept-older-code", is_flag=True, help="Keep results that older code computed; marked.")(
        command
    )


def no_reuse_option(command: Verb) -> Verb:
    return click.option(
        "--no-reuse",
        type=click.Choice(["all", "environment"]),
        help="Compute again what other sweeps have (all), or what other versions of torch, torchaudio or FFmpeg "
        "computed (environment).",
    )(command)


CONSENTS = {
    "older-code": "compute again what other code computed",
    "name": "take the place of another sweep of this name",
    "many": "more than 100,000 trials",
}
"""What a user may agree to, each by itself: what it does."""


def confirm_option(*consents: str) -> Callable[[Verb], Verb]:
    """--confirm with some of `CONSENTS`, a list with commas; the verb gets a set."""
    told = "; ".join(f"{name}: {CONSENTS[name]}" for name in consents)
    return click.option(
        "--confirm",
        default="",
        metavar=",".join(consents),
        callback=lambda context, option, text: _consents(text, consents),
        help=f"Go on where it would refuse. {told}.",
    )


def _consents(text: str, known: Sequence[str]) -> frozenset[str]:
    given = [name.strip() for name in text.split(",") if name.strip()]
    for name in given:
        if name not in known:
            raise UsageError(f"--confirm {name}: there is {', '.join(known)}. Nearest: {nearest(name, known)}")
    return frozenset(given)


def read_changes(pairs: tuple[str, ...]) -> dict[str, Any]:
    changes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: expected KEY=VALUE, such as --set train.lr=0.001")
        try:
            changes[key.strip()] = yaml.load(value, Loader=YamlLoader)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UsageError(f"--set {pair}: the value is no YAML: {' '.join(str(error).split())}") from None
    return changes


def this_command() -> str:
    """The command line as it was given: what goes on with an interrupted one."""
    return shlex.join(["sweep", *sys.argv[1:]])


def at(site: str | None) -> str:
    """The site option for a command that is proposed."""
    return f" --site {shlex.quote(site)}" if site else ""
