"""The winner of a sweep becomes a long final run and a registered model.

    promote("video-dropout", configuration=None, changes={"train.epochs": 100})

The final run is planned, run and recorded like any trial, so it can be interrupted and goes on when it is promoted
again. Its best replicate's last checkpoint becomes a version of the registered model, and `champion` if it scores
higher than the champion on the same data.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from orchestrator.errors import Interrupted, TrialsFailed, UsageError
from orchestrator.plan import document as files
from orchestrator.plan.changes import apply
from orchestrator.plan.planner import Plan, plan_sweep
from orchestrator.plan.site import Site, load_site
from orchestrator.plan.spec import Limits, Score, Sweep
from orchestrator.plan.vary import Listed
from orchestrator.rank.board import Board, board
from orchestrator.rank.rows import Row
from orchestrator.rank.wording import score_format
from orchestrator.run.display import Silent
from orchestrator.run.driver import run_plan
from orchestrator.track import checkpoints, storage
from orchestrator.track.ledger import original
from orchestrator.track.names import METRIC_VERSION, Tag
from orchestrator.track.params import config_of
from orchestrator.track.paths import SweepPaths, TrialPaths
from orchestrator.track.reader import read_by_id, read_runs
from orchestrator.track.records import RunRecord
from orchestrator.track.registry import CHAMPION, Registry, Version
from perceiver.config import RunConfig

LONGER = 2
"""How much longer than a trial the final run is, where nobody says."""


@dataclass(frozen=True)
class Proposal:
    """What a promotion would do, to be agreed to."""

    sweep: str
    reason: str
    plan: Plan
    model: str
    champion: Version | None

    def __str__(self) -> str:
        config = self.plan.trials[0].config
        length = f"{config.train.steps} steps" if config.train.steps else f"{config.train.epochs:g} epochs"
        seeds = len(self.plan.trials)
        standing = f" if it beats champion v{self.champion.number}" if self.champion else ""
        return (
            f"{self.reason}\n"
            f"Final run: {length}, {seeds} seed{'s' if seeds > 1 else ''}. Then a new version of {self.model}, "
            f"and alias {CHAMPION}{standing}."
        )


@dataclass(frozen=True)
class Promotion:
    """What a promotion did."""

    sweep: str
    configuration: str
    reason: str
    scores: dict[int, float]
    """Seed -> score of the final runs."""
    run_id: str
    model: str
    version: str
    source: str
    metric: str
    score: float
    champion: bool
    """Whether the version has the alias now."""
    former: str | None
    """The champion before."""
    tracking: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def promote(
    sweep: str,
    site: Site | str | None = None,
    *,
    configuration: str | None = None,
    changes: Mapping[str, Any] | None = None,
    seeds: int = 1,
    model: str | None = None,
    confirm: Callable[[Proposal], bool] = lambda proposal: True,
    display: Callable[[Plan], Silent] = lambda plan: Silent(),
) -> Promotion:
    """Runs the best configuration (or the named one) longer and registers what comes of it.

    `changes` makes the final run's config from the winner's; without, the sweep file's `final:`, and without that
    it trains twice as long.

    Raises:
        UsageError: no such sweep or configuration, nothing finished yet, or `confirm` said no.
        TrialsFailed, Interrupted: the final run did not come to its end; promoting again goes on with it.
    """
    where = site if isinstance(site, Site) else load_site(site)
    ranked = board(sweep, where)
    winner, reason = _winner(ranked, configuration)
    trained = read_by_id(where.tracking, list(winner.run_ids.values()))
    name = model or f"perceiver-{config_of(trained[0]).data.set}"
    plan = _final_plan(ranked, winner, _final_config(trained[0], where, changes), seeds, where)
    registry = Registry(where.tracking)
    proposal = Proposal(sweep, reason, plan, name, registry.champion(name))
    if not confirm(proposal):
        raise UsageError("Nothing was started.")
    lineage = {str(Tag.PROMOTED_FROM): f"{sweep} {winner.configuration}: {' '.join(winner.run_ids.values())}"}
    _run(plan, display(plan), lineage)
    return _register(proposal, winner, registry, where)


def champion_config(model: str, site: Site) -> RunConfig:
    """The config of a registered model's champion, for `base: promoted:<model>`.

    Raises:
        UsageError: the model has no champion.
    """
    champion = Registry(site.tracking).champion(model)
    if champion is None:
        raise UsageError(f"no registered model {model} with the alias {CHAMPION} at {site.tracking}")
    return config_of(read_by_id(site.tracking, [champion.run_id])[0])


def print_promotion(promotion: Promotion) -> None:
    """What came of it, and how to look at it."""
    crowned = f"; alias {CHAMPION} moved to it" if promotion.champion else f"; {CHAMPION} stays v{promotion.former}"
    score = score_format(promotion.metric, []).value(promotion.score)
    print(f"{promotion.configuration}: {promotion.metric} {score} after the final run ({promotion.run_id})")
    print(f"Registered {promotion.model} v{promotion.version}{crowned}.")
    print(f"Checkpoint: {promotion.source}")


def _winner(ranked: Board, configuration: str | None) -> tuple[Row, str]:
    if configuration is None:
        winner = ranked.winner()
        if winner.row is None:
            raise UsageError(f"{winner} Run it to its end with: sweep run, or choose one with --configuration")
        return winner.row, str(winner)
    finished = [row for row in (*ranked.rows, *ranked.searched, *ranked.stopped) if row.scores]
    for row in finished:
        if row.configuration == configuration:
            return row, f"{configuration} was chosen by hand."
    known = ", ".join(row.configuration for row in finished)
    raise UsageError(f"{ranked.sweep} has no finished configuration {configuration}. Finished: {known}")


def _final_config(run: RunRecord, site: Site, changes: Mapping[str, Any] | None) -> RunConfig:
    config = config_of(run)
    if not changes:
        frozen = storage.read_json(SweepPaths(site.storage, run.tags[Tag.NAME]).plan) or {}
        changes = frozen.get("final") or _longer(config)
    return apply(config, changes)


def _longer(config: RunConfig) -> dict[str, Any]:
    if config.train.steps is not None:
        return {"train.steps": LONGER * config.train.steps}
    return {"train.epochs": LONGER * config.train.epochs}


def _final_plan(ranked: Board, winner: Row, config: RunConfig, seeds: int, site: Site) -> Plan:
    """A plan of one configuration, its trials in the role of final runs."""
    sweep = Sweep(
        name=ranked.sweep,
        question=ranked.question,
        base=f"the winner of {ranked.sweep}",
        baseline=config,
        scores=(Score.model_validate({"metric": ranked.metric, "goal": ranked.goal}),),
        vary=Listed(by="list", points=[{}]),
        seeds=tuple(range(seeds)),
        limits=Limits(),
        stop_early=None,
        replicate_top=1,
        warm_start=(),
        final={},
        document=files.parse(f"sweep: {ranked.sweep}", f"the final run of {ranked.sweep}"),
    )
    plan = plan_sweep(sweep, site)
    return replace(
        plan,
        configurations=tuple(
            replace(
                each,
                trials=tuple(replace(trial, role="final", configuration=winner.configuration) for trial in each.trials),
            )
            for each in plan.configurations
        ),
    )


def _run(plan: Plan, display: Silent, lineage: Mapping[str, str]) -> None:
    outcome = run_plan(plan, display, lineage=lineage)
    if outcome.interrupted:
        raise Interrupted("Saved. The same promotion goes on with it")
    if outcome.failed:
        raise TrialsFailed("the final run failed:\n" + "\n".join(f"  {each}" for each in outcome.errors()))


def _register(proposal: Proposal, winner: Row, registry: Registry, site: Site) -> Promotion:
    """The best final run's last checkpoint becomes a version, and the champion if it is better on the same data."""
    score = proposal.plan.sweep.score
    wanted = {trial.id for trial in proposal.plan.trials}
    finals = [
        run
        for run in read_runs(site.tracking, proposal.sweep).finals
        if run.tags.get(Tag.TRIAL) in wanted and run.status == "FINISHED"
    ]
    best = max(finals, key=lambda run: run.metrics[score.metric] * (1 if score.goal == "maximize" else -1))
    root = original(best, site.tracking).artifact_uri
    source = next(checkpoints.complete(TrialPaths(root).checkpoints), None)
    if source is None:
        raise UsageError(f"the final run {best.run_id} has no complete checkpoint below {root}")
    value = best.metrics[score.metric]
    comparable = best.tags[Tag.COMPARABLE]
    tags = {"score": repr(value), "metric": score.metric, "sweep": proposal.sweep, "comparable": comparable}
    tags |= {"configuration": winner.configuration, "metric_version": METRIC_VERSION}
    version = registry.register(proposal.model, source, best.run_id, tags)
    champion = registry.champion(proposal.model)  # another promotion may have ended meanwhile
    crowned = champion is None or _beats(value, comparable, champion, score)
    if crowned:
        registry.crown(version)
    return Promotion(
        sweep=proposal.sweep,
        configuration=winner.configuration,
        reason=proposal.reason,
        scores={run.seed or 0: run.metrics[score.metric] for run in finals},
        run_id=best.run_id,
        model=proposal.model,
        version=version.number,
        source=source,
        metric=score.metric,
        score=value,
        champion=crowned or (champion is not None and champion.number == version.number),
        former=champion.number if champion else None,
        tracking=site.tracking,
    )


def _beats(value: float, comparable: str, champion: Version, score: Score) -> bool:
    """Whether a score is better than the champion's, by the same metric on the same data."""
    same = champion.tags.get("metric") == score.metric and champion.tags.get("comparable") == comparable
    if champion.score is None or not same:
        return False
    return value > champion.score if score.goal == "maximize" else value < champion.score
