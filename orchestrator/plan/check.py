"""Every mistake that a sweep file can hold beyond its form: the baseline, the score, the final run, early stopping.

`check_vary.py` looks at the factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.errors import Mistake
from orchestrator.plan.check_vary import check_names, check_vary
from orchestrator.plan.document import Document
from orchestrator.plan.findings import Findings
from perceiver.config import RunConfig
from perceiver.wording import nearest

if TYPE_CHECKING:
    from orchestrator.plan.spec import Score, SweepFile

METRICS = (
    "eval/mAP",
    "eval/AUC",
    "eval/d_prime",
    "eval/loss",
    "eval/mAP_audio_only",
    "eval/mAP_video_only",
    "train/loss",
    "train/clips_per_second",
    "cost/hours",
    "cost/gpu_hours",
    "cost/peak_memory_bytes",
)
"""What a trial reports (design 4.7)."""
_BOTH_MODALITIES = ("eval/mAP_audio_only", "eval/mAP_video_only")


def check(document: Document, form: SweepFile, base: RunConfig | None) -> tuple[RunConfig, list[Mistake]]:
    """The baseline, and what is wrong. Without a base only names can be checked."""
    findings = Findings(document)
    _check_fit(findings, form)
    if base is None:
        check_names(findings, form.vary)
        return RunConfig(), findings.mistakes
    baseline = findings.changed(base, form.set, ("set",))
    _check_scores(findings, form.scores, baseline)
    check_vary(findings, form.vary, baseline)
    findings.changed(baseline, form.final, ("final",))
    _check_stop_early(findings, form, baseline)
    return baseline, findings.mistakes


def _check_fit(findings: Findings, form: SweepFile) -> None:
    """Parts that only some strategies know."""
    if form.warm_start and form.vary.by not in ("tpe", "gp", "nsga2"):
        findings.say(
            ("warm_start",), f"warm_start is for adaptive search (tpe, gp, nsga2), and this sweep is {form.vary.by}"
        )
    if len(form.scores) > 1 and form.vary.by != "nsga2":
        findings.say(("score",), f"score: several scores need by: nsga2, and this sweep is {form.vary.by}")


def _check_scores(findings: Findings, scores: Sequence[Score], baseline: RunConfig) -> None:
    for index, score in enumerate(scores):
        name = "score.metric" if len(scores) == 1 else f"score.{index}.metric"
        path = ("score", "metric") if len(scores) == 1 else ("score", index, "metric")
        if score.metric not in METRICS:
            findings.say(path, f"{name}: {score.metric} is no metric. Nearest: {nearest(score.metric, METRICS)}")
        elif score.metric in _BOTH_MODALITIES and len(baseline.model.inputs.modalities) < 2:
            findings.say(path, f"{name}: {score.metric} needs a baseline with audio and video")


def _check_stop_early(findings: Findings, form: SweepFile, baseline: RunConfig) -> None:
    rule = form.stop_early
    if rule is None:
        return
    if "eval.times" in getattr(form.vary, "factors", {}):
        findings.say(("stop_early",), "stop_early: eval.times is a factor, and the rule compares by evaluations")
    if rule.grace >= baseline.eval.times:
        findings.say(
            ("stop_early", "grace"),
            f"stop_early.grace: {rule.grace} leaves nothing to stop: a trial has eval.times {baseline.eval.times}",
        )
