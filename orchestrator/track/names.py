"""The names under which the project writes to MLflow. Nobody else spells them.

Tags live under `sweep.`, see design 4.6; metric names are in 4.7.
"""

from enum import StrEnum


class Tag(StrEnum):
    """Tags of runs."""

    NAME = "sweep.name"
    """The sweep."""
    ROLE = "sweep.role"
    """sweep (the parent run), baseline, trial, final, or superseded (its data or code changed and it was run again)."""
    TRIAL = "sweep.trial"
    """Short id of the trial."""
    IDENTITY = "sweep.identity"
    """Hash of everything that determines the trial's result."""
    CONFIGURATION = "sweep.configuration"
    """What differs from the baseline, `train.video_dropout=0.1`, or `baseline`: replicates share it."""
    FACTOR = "sweep.factor"
    """The dotted keys that differ from the baseline, joined by a space."""
    LEVEL = "sweep.level"
    """Their levels as a JSON list."""
    SEED = "sweep.seed"
    """The replicate's seed."""
    ATTEMPTS = "sweep.attempts"
    """How often the trial was started."""
    PROGRESS = "sweep.progress"
    """Share of the trial that is done and saved, 0..1."""
    STOPPED = "sweep.stopped"
    """Why the trial ended before its end: interrupted, failed, or a rule's name and where, see `records.EarlyStop`."""
    ERROR = "sweep.error"
    """Last line of the error that ended the trial."""
    COMPARABLE = "sweep.comparable"
    """JSON of what must agree between runs that are compared: data digest, metric version, effective batch."""
    CODE = "sweep.code"
    """Commit and dirty flag of the code."""
    CODE_DIGEST = "sweep.code_digest"
    """Hash of the code that computes."""
    PROPOSAL = "sweep.proposal"
    """In an adaptive sweep: JSON of the proposal that the trial belongs to, `{"number": ..., "changes": {...}}`."""
    REPLICATES = "sweep.replicates"
    """On the parent run: how many seeds a configuration has to have before it is ranked."""
    QUESTION = "sweep.question"
    """On the parent run: the sweep's question."""
    SCORE = "sweep.score"
    """On the parent run: JSON of the score, `{"metric": ..., "goal": ...}`."""
    PROMOTED_FROM = "sweep.promoted_from"
    """On a final run: `<sweep> <configuration>` that won, and its run ids."""
    REUSED_FROM = "sweep.reused_from"
    """`<sweep> <run id>` of the equal trial whose result this run repeats; nothing was computed for it."""
    ENVIRONMENT = "sweep.environment"
    """JSON list of the environments that computed the result, each `{library: version}` (`perceiver.environment`); more
    than one where a trial went on in another."""
    OLDER_CODE = "sweep.older_code"
    """On a finished run that was kept although the code that computes has changed since: the digest of today's code."""
    PARENT = "mlflow.parentRunId"
    """MLflow's own tag that nests runs."""


SUPERSEDED = "superseded"
"""Role of a run whose place another one took: the trial left the plan, or its data or code changed."""

EVALUATED = "eval/loss"
"""The metric that every evaluation reports: a report with it is an evaluation."""

METRIC_VERSION = "1"
"""Raised when the meaning of a metric changes; runs of different versions are not comparable."""
