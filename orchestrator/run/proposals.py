"""The trials of an adaptive sweep: the baseline, what the sampler proposes, the leaders' replicates.

Runs on: the driver. The search is rebuilt from the recorded runs whenever a driver starts: what was proposed, in order,
and what became of it. The next proposal is asked for when there is room for a trial, so that the sampler has seen every
result by then; it is booked before it is handed out, so that a driver that dies here leaves it on record.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

from orchestrator.errors import Unreachable
from orchestrator.plan.estimate import Estimator
from orchestrator.plan.planner import Plan, Proposal, Trial, extend_plan
from orchestrator.plan.untried import affordable
from orchestrator.plan.vary import Adaptive
from orchestrator.run.booking import Booking, Desk
from orchestrator.run.leaders import choose_leaders
from orchestrator.run.study import Study
from orchestrator.run.upcoming import NOT_NOW, Ended, NotNow
from orchestrator.track.warm_start import WarmStart
from perceiver.config import RunConfig

_PAUSE_SECONDS = 5.0
"""Before a tracker or storage that did not answer is asked again."""


class Proposals:
    """Hands out an adaptive sweep's trials.

    `room` says how many trials can run side by side; `say` takes a line for the user.
    """

    def __init__(
        self, plan: Plan, desk: Desk, warm: WarmStart, room: Callable[[], int], say: Callable[[str], None]
    ) -> None:
        assert isinstance(plan.sweep.vary, Adaptive)
        self.plan, self.vary, self.seeds = plan, plan.sweep.vary, plan.sweep.seeds
        self.bookings = desk.book_all()
        self._desk, self._room, self._say = desk, room, say
        self._study = Study(plan.sweep, self._is_affordable)
        self._asked: Proposal | None = None
        self._used_up = self._leaders_chosen = self._unfrozen = False
        self._running: set[str] = set()
        self._open: set[str] = set()  # proposals that the study waits for
        self._again = 0.0
        for point, scores in warm.results:
            self._study.learn(point, scores)
        for line in [*warm.notes, *plan.fewer_proposals()]:
            say(line)
        first = [booking for booking in self.bookings.values() if not self._is_replicate(booking.trial)]
        for booking in first:
            self._restore(booking)
        self._waiting = deque(booking for booking in first if not booking.there)

    @property
    def expected(self) -> int:
        """What there is, what will be proposed, and the leaders' replicates."""
        if self._leaders_chosen:
            return len(self.bookings)
        proposed = sum(self._is_proposal(booking.trial) for booking in self.bookings.values())
        proposals = proposed if self._used_up else proposed + self.plan.to_propose
        leaders = min(self.plan.sweep.replicate_top, proposals)
        return proposals + len(self.seeds) + leaders * (len(self.seeds) - 1)

    @property
    def more(self) -> bool:
        """The leaders are known last."""
        return not self._leaders_chosen

    def next(self) -> Booking | NotNow | None:
        """What was begun, then a new proposal, then a leader's replicate."""
        if time.monotonic() < self._again or (self._running and len(self._running) >= self._room()):
            return NOT_NOW
        try:
            booking = self._waiting.popleft() if self._waiting else self._propose() or self._replicate()
        except Unreachable as error:
            self._say(f"! {error}")
            self._again = time.monotonic() + _PAUSE_SECONDS
            return NOT_NOW
        if isinstance(booking, Booking):
            self._running.add(booking.trial.id)
        return booking

    def ended(self, booking: Booking, how: Ended) -> None:
        """Tells the study."""
        self._running.discard(booking.trial.id)
        self._tell(booking, how)

    def _restore(self, booking: Booking) -> None:
        """Puts a proposal on record into the study, and what became of it."""
        if booking.trial.proposal is not None:
            self._study.restore(booking.trial.proposal.changes)
            self._open.add(booking.trial.id)
        if booking.there:
            self._tell(booking, "stopped" if booking.stop else "finished")

    def _tell(self, booking: Booking, how: Ended) -> None:
        """A result: a proposal's is told once; the baseline's is learned from the seed that the proposals have."""
        trial = booking.trial
        if trial.id in self._open and trial.proposal is not None:
            self._open.discard(trial.id)
            self._study.tell(trial.proposal.number, list(enumerate(booking.scores, 1)), how)
        elif trial.role == "baseline" and trial.seed == self.seeds[0] and how == "finished" and booking.scores:
            self._study.learn({}, booking.scores[-1])

    def _propose(self) -> Booking | None:
        """A new proposal's trial; those whose results are on record elsewhere are told at once."""
        while not self._used_up and (self._asked or self.plan.to_propose):
            self._asked = self._asked or self._study.ask()
            if self._asked is None:
                self._used_up = True
                left = f"{self.plan.to_propose} of {self.vary.trials} proposals are not made"
                self._say(f"{left}: no other point was found that can be run within the limits")
                break
            (booking,) = self._book([self._asked], self.seeds[:1])
            self._asked = None
            self._open.add(booking.trial.id)
            if not booking.there:
                return booking
            self._tell(booking, "stopped" if booking.stop else "finished")
        return None

    def _replicate(self) -> Booking | NotNow | None:
        """A leader's trial with another seed, once every proposal has come to its end."""
        if self._open:
            return NOT_NOW
        if not self._leaders_chosen:
            self._wait_for_leaders()
            self._leaders_chosen = True
        return self._waiting.popleft() if self._waiting else None

    def _wait_for_leaders(self) -> None:
        """Lines up what the leaders lack; unfinished replicates of others, which led once, lose their place."""
        leaders = self._choose_leaders()
        booked = self._book(leaders, self.seeds)
        for booking in booked:
            if not booking.finished:
                booking.stop, booking.may_stop = None, False  # a leader that was stopped early goes on
                self._waiting.append(booking)
        for key, booking in list(self.bookings.items()):
            if self._is_replicate(booking.trial) and not booking.there and booking not in booked:
                self._desk.supersede(booking.run_id)
                del self.bookings[key]

    def _choose_leaders(self) -> list[Proposal]:
        proposals = {key: each for key, each in self.bookings.items() if self._is_proposal(each.trial) and each.scores}
        names = choose_leaders(
            {key: each.scores[-1] for key, each in proposals.items() if each.finished},
            {key: (each.stop.evaluation, each.scores[-1]) for key, each in proposals.items() if each.stop},
            self.plan.sweep.scores,
            self.plan.sweep.replicate_top if len(self.seeds) > 1 else 0,
        )
        return [proposal for name in names if (proposal := proposals[name].trial.proposal)]

    def _book(self, proposals: Sequence[Proposal], seeds: Sequence[int]) -> list[Booking]:
        """The bookings of these proposals with these seeds; those that are not there yet join the plan.

        Raises:
            Unreachable: tracker or storage does not answer; what was booked until then is there when it is tried again.
        """
        self.plan = extend_plan(self.plan, [(proposal, seeds) for proposal in proposals])
        new = [trial for trial in self.plan.trials if trial.id not in self.bookings]
        for trial in new:
            self.bookings[trial.id] = self._desk.join(trial)
        if new or self._unfrozen:
            self._unfrozen = True
            self._desk.freeze(self.plan, self.bookings)
            self._unfrozen = False
        places = [(proposal, seed) for proposal in proposals for seed in seeds]
        found = {
            (each.trial.proposal.number, each.trial.seed): each
            for each in self.bookings.values()
            if each.trial.proposal
        }
        return [found[proposal.number, seed] for proposal, seed in places]

    def _is_affordable(self, config: RunConfig) -> bool:
        """Whether a proposal is within every limit, beside all trials so far."""
        spent = [each.cost for each in self.plan.configurations for _ in each.trials]
        return affordable(self.plan.sweep, Estimator(self.plan.site, self.plan.data), spent)(config)

    def _is_proposal(self, trial: Trial) -> bool:
        return trial.proposal is not None and trial.seed == self.seeds[0]

    def _is_replicate(self, trial: Trial) -> bool:
        return trial.proposal is not None and trial.seed != self.seeds[0]
