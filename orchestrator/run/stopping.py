"""Early stopping: which trials fall behind. Runs on: the driver. Pure: knows neither Ray nor MLflow.

    rule = Stopping(sweep.stop_early, evaluations=10, maximize=True)
    rule.hear("3fa9c1d2", 2, 0.31)         # True: stop it

Scores are kept by trial and evaluation, so that after a restart the rungs are rebuilt from what is recorded
(`remember`): a score that is heard twice changes nothing. Only a trial's newest score is judged, since it has gone on
from the others. A trial that has stopped stays stopped.
"""

import math
import zlib
from statistics import median

from orchestrator.plan.spec import StopEarly

_OTHERS_NEEDED = 3
"""The median rule waits for so many other trials."""


class Stopping:
    """One sweep's rule and what it has heard."""

    def __init__(self, rule: StopEarly, evaluations: int, maximize: bool) -> None:
        self.rule = rule
        self.evaluations = evaluations
        self._sign = 1.0 if maximize else -1.0
        self._scores: dict[str, dict[int, float]] = {}
        self._stopped: set[str] = set()

    def hear(self, trial: str, evaluation: int, score: float) -> bool:
        """Takes in a score (evaluations count from 1); whether the trial shall stop now."""
        self.remember(trial, evaluation, score)
        newest = evaluation == max(self._scores[trial])
        if newest and evaluation < self.evaluations and self._is_behind(trial, evaluation):
            self._stopped.add(trial)
        return trial in self._stopped

    def remember(self, trial: str, evaluation: int, score: float) -> None:
        """Takes in a score without a verdict: of a trial that others are compared with, or from before a restart."""
        known = self._scores.setdefault(trial, {})
        known.setdefault(evaluation, self._sign * score if math.isfinite(score) else -math.inf)

    def rungs(self, trial: str) -> list[int]:
        """The evaluations at which a trial is compared: grace, grace x reduction, ... before the last one."""
        first = self.rule.grace * self.rule.reduction ** self._bracket(trial)
        rungs = []
        while first < self.evaluations:
            rungs.append(first)
            first *= self.rule.reduction
        return rungs

    def _bracket(self, trial: str) -> int:
        """HyperBand gives a share of the trials a longer grace, so that slow starters have a chance."""
        if self.rule.rule != "hyperband":
            return 0
        brackets = 1
        while self.rule.grace * self.rule.reduction**brackets < self.evaluations:
            brackets += 1
        return zlib.crc32(trial.encode()) % brackets

    def _is_behind(self, trial: str, evaluation: int) -> bool:
        if self.rule.rule == "median":
            return self._below_median(trial, evaluation)
        return evaluation in self.rungs(trial) and self._below_cut(trial, evaluation)

    def _below_cut(self, trial: str, rung: int) -> bool:
        """Asynchronous successive halving (Li et al. 2018): of the scores at a rung, the best 1 in `reduction` go on.

        The first `reduction` - 1 trials go on in any case: nobody can say yet that they are behind.
        """
        bracket = self._bracket(trial)
        scores = [
            known[rung] for other, known in self._scores.items() if rung in known and self._bracket(other) == bracket
        ]
        places = max(1, len(scores) // self.rule.reduction)
        own = self._scores[trial][rung]
        return len(scores) >= self.rule.reduction and own < sorted(scores, reverse=True)[places - 1]

    def _below_median(self, trial: str, evaluation: int) -> bool:
        """The median stopping rule (Golovin et al. 2017): its best so far against the others' running means."""
        if evaluation < self.rule.grace:
            return False
        means = [
            sum(seen) / len(seen)
            for other, known in self._scores.items()
            if other != trial and evaluation in known
            for seen in [[score for step, score in known.items() if step <= evaluation]]
        ]
        best = max(score for step, score in self._scores[trial].items() if step <= evaluation)
        return len(means) >= _OTHERS_NEEDED and best < median(means)
