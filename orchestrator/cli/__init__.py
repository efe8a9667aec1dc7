"""The command `sweep VERB`. Heavy libraries are loaded only inside the verbs that need them.

Exit codes: 0 done, 1 error, 2 wrong usage or an invalid file, 3 finished but some trials failed
(or files can't be read), 4 budget spent,
5 plan infeasible, 75 tracker, storage or cluster unreachable, 130 interrupted with state saved.
"""

import io
import sys
from typing import Any

import click

from orchestrator.cli.calibrate import calibrate
from orchestrator.cli.data import data
from orchestrator.cli.demo import demo
from orchestrator.cli.results import board, compare, promote, report, rollback
from orchestrator.cli.sweeps import logs, plan, run, schema, status, stop
from orchestrator.console import note, quiet_libraries
from orchestrator.errors import OrchestratorError
from perceiver.errors import ConfigError, PerceiverError, StorageError

_EXIT_CODES: dict[type[Exception], int] = {ConfigError: 2, StorageError: 75}
"""Of the perceiver's errors, which know nothing of commands; any other is 1."""


class _Verbs(click.Group):
    """Turns errors raised on purpose into one message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (OrchestratorError, PerceiverError) as error:
            note(str(error))
            sys.exit(getattr(error, "exit_code", _EXIT_CODES.get(type(error), 1)))
        except KeyboardInterrupt:
            note("Stopped at once. Everything that was saved is there; the same command goes on from it.")
            sys.exit(130)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="perceiver-sweeps", prog_name="sweep")
def main() -> None:
    """Plans, runs, tracks and ranks sweeps of the audio+video Perceiver: one YAML file, one question."""
    quiet_libraries()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text


for verb in (demo, plan, calibrate, run, status, logs, stop, board, compare, report, promote, rollback, data, schema):
    main.add_command(verb)
