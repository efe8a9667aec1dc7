"""The gate's look at data sets, and at what configurations ask of them."""

from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.plan.planner import Configuration
from orchestrator.run.verdict import Verdict
from orchestrator.track.writable import lacks_credentials
from perceiver.data.files import is_local
from perceiver.data.shards import Shards, read_shards
from perceiver.errors import DataError


def look_at_data(verdict: Verdict) -> None:
    """Whether each set of the plan lies where the site says, and has clips to train on and to measure by."""
    for name, error in verdict.plan.data.causes.items():
        _unseen(verdict, name, error)
    for name, description in verdict.plan.data.descriptions.items():
        _look_at_splits(verdict, name, description)


def _unseen(verdict: Verdict, name: str, error: Exception) -> None:
    """A set that could not be described: a mistake, away for now, or to be seen on other machines only."""
    if isinstance(error, OrchestratorError):  # the site does not say where it lies
        verdict.of_sweep("data.set", f"data.set: {error}")
        return
    path, url = ("data", name), verdict.site.data[name].url
    no_credentials = lacks_credentials(error)
    why = f"there are no credentials for {url}; set them in the environment" if no_credentials else str(error)
    no_leave = no_credentials or isinstance(error, PermissionError) or getattr(error, "is_refusal", False)
    if not (no_leave or isinstance(error, DataError)):
        verdict.unanswered.append(f"data.{name}: {why}")
    elif verdict.mine or not (no_leave or is_local(url)):  # object storage is the same from everywhere
        verdict.of_site(path, f"data.{name}: {why}")


def _look_at_splits(verdict: Verdict, name: str, description: Any) -> None:
    """What `perceiver.data.dataset` would refuse once a trial opens the set."""
    for split, clips in (("train", description.train_clips), ("eval", description.eval_clips)):
        left_out = dict(description.left_out.get(split, {}))
        rows = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        without_file = left_out.pop("no file", 0)
        if not clips:
            why = f" (rows: {rows})" if rows else ""
            what = f"has no clip in its {split} split{why}"
        elif sum(left_out.values()) > clips + without_file:
            what = f"has more wrong rows than right ones in its {split} split ({clips:,} right; {rows})"
        else:
            continue
        look = f"why:  sweep data check {name}"
        verdict.of_site(("data", name), f"data.{name}: {verdict.site.data[name].url} {what}; {look}")


def look_at_configs(verdict: Verdict) -> None:
    """Whether the sets and the site's workers can serve what each configuration asks for."""
    shards = {name: _shards(verdict, name) for name in verdict.plan.data.descriptions}
    for each in verdict.plan.configurations:
        name = each.config.data.set
        _look_at_share(verdict, each)
        if each.config.model.classes is None:
            count = each.config.model.logits
            verdict.note(f"model.classes is left out: sizes are for {count} until the labels of {name} can be seen")
        if name in verdict.plan.data.descriptions:
            _look_at_classes(verdict, each, verdict.plan.data.descriptions[name].classes)
            _look_at_pixels(verdict, each, shards[name])
            _look_at_modalities(verdict, each, verdict.plan.data.descriptions[name].known)


def _shards(verdict: Verdict, name: str) -> Shards | None:
    place = verdict.site.data[name]
    return None if place.synthetic else read_shards(place.url)


def _look_at_classes(verdict: Verdict, each: Configuration, classes: int) -> None:
    config = each.config
    if config.model.classes not in (None, classes):
        verdict.of_sweep(
            "model.classes",
            f"model.classes: {config.model.classes}, but the label list of data set {config.data.set} has {classes}: "
            f"leave it out (null over a base that says it), or say {classes}",
            each.changes,
        )


def _look_at_pixels(verdict: Verdict, each: Configuration, shards: Shards | None) -> None:
    config, video = each.config, each.config.model.inputs.video
    if shards is not None and video is not None and video.size > shards.form.pixels:
        verdict.of_sweep(
            "model.inputs.video.size",
            f"model.inputs.video.size: {video.size}, but data set {config.data.set} was ingested for pictures of up to "
            f"{shards.form.pixels} pixels: ingest its source elsewhere with --pixels {video.size}",
            each.changes,
        )


def _look_at_modalities(verdict: Verdict, each: Configuration, known: Any) -> None:
    """What no file of the set has, where `sweep data check` has looked into all of them (`perceiver.data.verdicts`)."""
    config = each.config
    for modality in config.model.inputs.modalities:
        if known.lacks(modality) and config.model.missing_modality == "error":
            key = f"model.inputs.{modality}"
            verdict.of_sweep(
                key,
                f"{key}: none of the {known.files:,} files of data set {config.data.set} has {modality}, "
                f"as `sweep data check` found: {key}: null would do without",
                each.changes,
            )


def _look_at_share(verdict: Verdict, each: Configuration) -> None:
    """Every worker of a trial has at least one clip of each batch; with mixup, one pair."""
    train = each.config.train
    shares = -(-train.batch_size // 2) if train.mixup else train.batch_size
    if shares < verdict.site.workers:
        pairs = f", which mixup makes {shares} pairs of" if train.mixup else ""
        verdict.of_site(
            ("workers",),
            f"workers: site {verdict.site.name} gives a trial {verdict.site.workers} workers, but train.batch_size of "
            f"{each.label} is {train.batch_size}{pairs}: lower `workers:` in the site file",
        )
