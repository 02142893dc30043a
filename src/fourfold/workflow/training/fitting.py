"""The resumable training shared by all stages that train by gradient: plain code around the one loop.

A sitting goes from wherever the stage folder says to the end, or to a spike answered from a checkpoint. What is on
disk when a process dies decides all that follows:

    checkpoints/    weights, optimizer, average        metrics.jsonl   a row a step, cut back to the checkpoint
    answers.json    what was done about loss spikes    curve.jsonl     measurements, cut back likewise
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.files import append_jsonl, read_json, write_json
from fourfold.progress import Task, say, task
from fourfold.workflow.training.course import Course
from fourfold.workflow.training.fit import Fit, Measure
from fourfold.workflow.training.folders import newest_step
from fourfold.workflow.training.options import CheckpointOptions
from fourfold.workflow.training.rows import Totals, curve_row, cut_back, first_number, metrics_row, read_rows
from fourfold.workflow.training.trackers import Trackers, open_trackers

if TYPE_CHECKING:
    from fourfold.training import Answer, SpikeWatch, Team, TrainingStep, WeightAverage
    from fourfold.workflow.context import StageContext


def run_fit(
    context: StageContext,
    fit: Fit,
    checkpoint: CheckpointOptions,
    measure: Measure | None = None,
    measured: frozenset[int] = frozenset(),
) -> Totals:
    """Train to the end from wherever the stage folder says; bit-identical to a training never stopped.

    Writes metrics.jsonl and, at the steps `measured`, curve.jsonl; both are cut back to the checkpoint resumed from.
    With a weight average or `best`, those are the weights the model ends with.
    """
    sitting = _Sitting(context=context, fit=fit, checkpoint=checkpoint, measure=measure, measured=measured)
    sitting.restore()
    with (
        context.interrupts.deferred(),
        task(f"train {fit.label}", fit.steps, "steps") as work,
        open_trackers(context, fit, silent=sitting.team.rank > 0) as trackers,
    ):
        work.advance(sitting.totals.steps)
        while sitting.totals.steps < fit.steps:
            sitting.go_on(work, trackers)
    sitting.finish()
    return sitting.totals


@dataclass(kw_only=True)
class _Sitting:
    """A training under way in this process."""

    context: StageContext
    fit: Fit
    checkpoint: CheckpointOptions
    measure: Measure | None
    measured: frozenset[int]
    totals: Totals = field(default_factory=Totals)
    answers: tuple[Answer, ...] = ()
    spikes: int = 0
    """Steps that were not applied or were gone back from."""
    watch: SpikeWatch | None = None
    course: Course = field(default_factory=Course)
    average: WeightAverage | None = None
    saved_at: float = 0.0

    @property
    def team(self) -> Team:
        from fourfold.training import ALONE

        return self.fit.team or ALONE

    @property
    def leads(self) -> bool:
        """Whether this process writes what is written once."""
        return self.team.rank == 0

    @property
    def folder(self) -> Path:
        return self.context.folder

    def restore(self) -> None:
        """Take up the newest whole checkpoint and bring the files of the stage back to it."""
        from fourfold.training import Answer, SpikeWatch, WeightAverage, load_latest_checkpoint

        fit, wanted = self.fit, self.fit.update
        if wanted.average is not None:
            self.average = WeightAverage(fit.model, wanted.average)
        found = load_latest_checkpoint(self.folder / "checkpoints", fit.model, fit.optimizer, team=self.team)
        self.totals = Totals()
        if found:
            self.totals = Totals(steps=found.step, seconds=found.extra["seconds"], tokens=found.extra["tokens"])
            say(f"{self.context.name}: continuing after step {self.totals.steps} of {fit.steps}")
            if self.average is not None:
                self.average.restore(found.tensors, found.extra["averaged"])
        rows = cut_back(self.folder / "metrics.jsonl", self.totals.steps, write=self.leads)
        cut_back(self.folder / "curve.jsonl", self.totals.steps, write=self.leads)
        kept = read_json(self.folder / "answers.json") if (self.folder / "answers.json").is_file() else []
        self.answers = tuple(Answer(**row) for row in kept if row["step"] <= self.totals.steps)
        self.spikes = len(self.answers) + sum(row.get("applied") is False for row in rows)
        self.course = Course()
        self.course.remember(row["loss"] for row in rows if row.get("applied") is not False)
        if wanted.spikes is not None:
            self.watch = SpikeWatch(threshold=wanted.spikes.threshold, window=wanted.spikes.window)
            self.watch.remember(row["loss"] for row in rows if row.get("applied") is not False)
            if wanted.spikes.policy == "rewind" and not found:
                self.save()  # so that there is something to go back to
        self.saved_at = time.monotonic()

    def go_on(self, work: Task, trackers: Trackers) -> None:
        """Train until the end, or until a spike asks for another start."""
        for step in self._steps():
            before = self.totals.steps
            self.totals.add(step)
            row = metrics_row(step, self.totals)
            if self.leads:
                append_jsonl(self.folder / "metrics.jsonl", row)
            trackers.log(self.totals.steps, row)
            if step.applied:
                self._applied(work, trackers, step)
            elif self._answer(step):
                work.advance(self.totals.steps - before, "spike answered")
                return
            else:
                work.advance(1, "step left out")
            self._save_where_due()

    def finish(self) -> None:
        """Leave the model with the weights it is to be kept with."""
        from fourfold.training import load_latest_checkpoint

        if self.average is not None:
            self.average.apply()
        if self.checkpoint.best and (self.folder / "checkpoints" / "best").is_dir():
            folder = self.folder / "checkpoints" / "best"
            best = load_latest_checkpoint(folder, self.fit.model, self.fit.optimizer, team=self.team)
            if best and best.step < self.totals.steps:
                say(f"{self.context.name}: the weights of step {best.step} measured best and are kept")
        self._put_together()

    def save(self) -> None:
        """A checkpoint of this moment."""
        from fourfold.training import save_checkpoint

        save_checkpoint(
            self.folder / "checkpoints",
            self.fit.model,
            self.fit.optimizer,
            self.totals.steps,
            {"seconds": self.totals.seconds, "tokens": self.totals.tokens} | self._averaged(),
            tensors=self.average.averages if self.average is not None else {},
            kept=self.checkpoint.keep,
            team=self.team,
        )
        self.context.ledger.save()
        self.saved_at = time.monotonic()

    def _averaged(self) -> dict[str, int]:
        return {} if self.average is None else {"averaged": self.average.steps}

    def _steps(self) -> Iterator[TrainingStep]:
        from fourfold.training import Answered, Guard, LiveData, train

        fit, answered = self.fit, Answered(self.answers)
        return train(
            fit.model,
            fit.objective,
            LiveData(answered.batches(fit.batches), fit.one_batch),
            fit.optimizer,
            steps=fit.steps,
            start=self.totals.steps,
            schedule=answered.schedule(fit.update.make_schedule(fit.steps)),
            guard=Guard(clip=fit.update.clip, watch=self.watch),
            precision=fit.precision,
            seed=self.context.seed,
            team=self.team,
        )

    def _applied(self, work: Task, trackers: Trackers, step: TrainingStep) -> None:
        if self.course.worsens(loss := step.losses["loss"]):
            say(
                f"{self.context.name}: the loss, {loss:.4g} at step {self.totals.steps}, is above where it began; "
                f"the learning rate of {step.learning_rate:.2g} is too high, or the text has changed"
            )
        if self.average is not None:
            self.average.update()
        if self.measure and self.totals.steps in self.measured:
            with self.average.in_place() if self.average is not None else nullcontext():
                self._put_together()
                row = curve_row(self.totals, self.measure() if self.leads else {})
                self.team.wait()  # for longer than a step may take
                self._keep_if_best(row)
            if self.leads:
                append_jsonl(self.folder / "curve.jsonl", row)
            trackers.log(self.totals.steps, row)
        work.advance(1, trackers.note(step))

    def _keep_if_best(self, row: Mapping[str, Any]) -> None:
        """A checkpoint apart where the first measurement, lower being better, is the lowest so far."""
        from fourfold.training import save_checkpoint

        if not self.checkpoint.best:
            return
        earlier = [first_number(old) for old in read_rows(self.folder / "curve.jsonl")]
        if self.team.any(self.leads and all(first_number(row) < value for value in earlier)):
            folder = self.folder / "checkpoints" / "best"
            save_checkpoint(folder, self.fit.model, self.fit.optimizer, self.totals.steps, kept=1, team=self.team)

    def _put_together(self) -> None:
        """Bring the first process's whole model up to date: a team hands its pieces over on the disk."""
        if not self.team.together:
            return
        from fourfold.training import hand_over

        hand_over(self.fit.model, self.fit.whole, self.folder / "checkpoints" / "whole", self.team)

    def _save_where_due(self) -> None:
        """Save by steps, by time, at the end and when the user wants to stop; save before anything can be lost."""
        due = self.totals.steps % self.checkpoint.steps == 0 or self.totals.steps == self.fit.steps
        late = time.monotonic() - self.saved_at >= self.checkpoint.seconds
        asked = late or self.context.interrupts.pending
        if self.team.any(asked) or due:
            self.save()
            stop = self.team.any(self.context.interrupts.pending)
            self.context.interrupts.check()
            if stop:
                raise KeyboardInterrupt  # another process was told to; all stop after the same step

    def _answer(self, step: TrainingStep) -> bool:
        """Do what the recipe says about a spike; True where the loop has to start again."""
        from fourfold.training import Answer, Diverged

        options = self.fit.update.spikes
        assert options is not None  # only a watch leaves a step out
        self.spikes += 1
        loss = step.losses["loss"]
        if self.spikes > options.most:
            raise Diverged(
                f"the loss has spiked {self.spikes} times, now to {loss:.4g}",
                where=f"training step {step.index}",
                advice="Lower the learning rate, lengthen the warm-up, or look at the data of these steps.",
            )
        say(f"{self.context.name}: loss {loss:.4g} at step {self.totals.steps} is a spike; {options.policy}")
        if options.policy == "skip":
            return False
        if options.policy == "lower-rate":
            self._keep(Answer(step=self.totals.steps, rate=options.factor))
            return True
        spiked = step.index
        start = newest_step(self.folder / "checkpoints")
        self._keep(Answer(step=start, data=spiked + 1 - start))
        self.restore()
        return True

    def _keep(self, answer: Answer) -> None:
        self.answers = (*self.answers, answer)
        if self.leads:
            write_json(self.folder / "answers.json", [kept.as_dict() for kept in self.answers])
        self.team.wait()
