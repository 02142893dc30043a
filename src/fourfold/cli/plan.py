"""`fourfold plan`: will it fit, and how long will it take?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import between, duration, finish, gigabytes, show, show_json, show_table
from fourfold.cli.options import START, Json
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.cli.plan_cluster import Site

commands = typer.Typer()
COMPILED_AFTER = 300
"""Seconds from which a training is compiled, as in `workflow/training/compiling.py`."""
PLAIN = "training steps timed"
TOKENS_PER_PARAMETER = 20
"""Compute-optimal training by Hoffmann et al. 2022, table 3."""


@commands.command(
    rich_help_panel=START,
    epilog="Example: fourfold plan smollm2:135m --tokens 10M   or   fourfold plan recipe.toml   or   "
    "fourfold plan llama:65b --devices 2048xA100-80GB --tokens 1.4T",
)
def plan(
    subject: Annotated[
        str, typer.Argument(metavar="RECIPE|FAMILY:SIZE", help="A recipe file, or smollm2:135m, t5:11b, …")
    ] = "",
    tokens: Annotated[str | None, typer.Option(help="Tokens, e.g. 300M or 1.4T; 20 a parameter if not given.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows of a step; one here, about 4M tokens on --devices if not given.")
    ] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of a row; the model's own if not given.")] = None,
    purpose: Annotated[str, typer.Option("--for", help="train, tune (low-rank deltas) or score.")] = "train",
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Keep only the inputs of layers, compute the rest twice.")
    ] = False,
    compile_it: Annotated[
        bool, typer.Option("--compile", help="Time compiled steps, as long trainings have; takes a minute.")
    ] = False,
    optimizer: Annotated[str, typer.Option(help="adamw, adamw-8bit, adafactor, lion or muon.")] = "adamw",
    devices: Annotated[
        str | None, typer.Option(help="Train on these instead of on this machine, e.g. 2048xA100-80GB.")
    ] = None,
    parallel: Annotated[
        str, typer.Option(help="auto, or a plan: data=64,shard=zero1,tensor=8,pipeline=4,context=1.")
    ] = "auto",
    price: Annotated[float | None, typer.Option(help="Dollars a device and hour; without it a typical one.")] = None,
    overhead: Annotated[float, typer.Option(help="Power of the building for each watt of a device (PUE).")] = 1.1,
    utilization: Annotated[
        float | None, typer.Option(help="Share of the peak (MFU) to count with, instead of our estimate.")
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="The planner beside published trainings.")] = False,
    override: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override in a recipe.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A verdict, then parameters, FLOPs, memory by part and time: here by a probe of seconds, or on a cluster."""
    from fourfold.cli.plan_cluster import Site, show_cluster

    if published:
        return _published(as_json)
    site = devices and Site(devices, parallel, price, overhead, utilization)
    asked = {"purpose": purpose, "recompute": recompute, "optimizer": optimizer, "compiled": compile_it}
    is_recipe = Path(subject).suffix == ".toml" or Path(subject).is_file()
    if is_recipe:
        result = _plan_recipe(Path(subject), override or [], site or None)
    else:
        result = plan_model(subject, tokens, batch_size, context, asked, site or None)
    shown = show_json if as_json else show_cluster if site else _show
    shown(result)
    words = ["run", subject] if is_recipe else ["plan", subject]
    return finish(next_command=[*words, *_following(result, is_recipe, override or [])], result_on_stdout=False)


def _following(result: dict[str, Any], is_recipe: bool, overrides: list[str]) -> list[str]:
    """What the next command says of a recipe that was planned with overrides, or of a model that fits or does not."""
    if is_recipe:
        return [word for override in overrides for word in ("--set", override)]
    return ["--for", "tune"] if result["fits"] else ["--devices", "1024xA100-80GB"]


def _published(as_json: bool) -> None:
    from fourfold.cli.plan_cluster import published_rows, show_published

    (show_json if as_json else show_published)(published_rows())
    finish(next_command=["plan", "llama:65b", "--devices", "2048xA100-80GB"], result_on_stdout=False)


def _plan_recipe(path: Path, overrides: list[str], site: Site | None) -> dict[str, Any]:
    from fourfold.cli.plan_cluster import plan_recipe_on
    from fourfold.cli.recipe_plan import plan_recipe

    return plan_recipe(path, overrides) if site is None else plan_recipe_on(path, overrides, site)


def plan_model(
    reference: str,
    tokens: str | None,
    batch_size: int | None,
    context: int | None,
    asked: dict[str, Any],
    site: Site | None = None,
) -> dict[str, Any]:
    """The plan of one job on a published architecture, here or on a cluster."""
    from fourfold.cli.plan_cluster import batch_for, in_verdict, plan_on_cluster
    from fourfold.models.inspection import count
    from fourfold.pretraining import Job
    from fourfold.resources import agreement, architectures, find_preset

    if asked["purpose"] not in ("train", "tune", "score"):
        raise UserError("unknown --for", expected="train, tune or score", got=asked["purpose"])
    if ":" not in reference and reference not in architectures():
        raise UserError("neither a recipe nor FAMILY:SIZE", got=reference, advice="For example smollm2:135m.")
    if site is not None and asked["purpose"] != "train":
        raise UserError("--devices plans a training", expected="--for train", got=f"--for {asked['purpose']}")
    preset = find_preset(reference)
    rows = batch_size or (1 if site is None else batch_for(context or preset.config.context))
    amount = _number(tokens) if tokens else float(TOKENS_PER_PARAMETER * count(preset.config).total)
    job = Job(config=preset.config, tokens=amount, batch_size=rows, context=context, **asked)
    agreed = agreement(preset)
    published = {"published": preset.card.published, "published_difference": agreed.difference} if agreed else {}
    source = {**published, "source": preset.source}
    if site is not None:
        return in_verdict({**plan_on_cluster(job, site), **source})
    size = size_of(job)
    if not fits_here(size["memory_bytes"]):  # what cannot be trained needs no probe
        return {**with_verdict({**size, **source}), "would_fit": _what_would_fit(job)}
    return with_verdict({**size, **time_of(job), **source})


def _what_would_fit(job: Any) -> str | None:
    """The smallest change that makes a training fit on this machine; None where none does."""
    from fourfold.pretraining import machine_memory, memory
    from fourfold.training import choose_precision

    there, precision = machine_memory(), choose_precision()
    lighter = replace(job, recompute=True)
    changes = {
        "--recompute": lighter,
        "--recompute --batch-size 1": replace(lighter, batch_size=1),
        "--recompute --batch-size 1 --optimizer adamw-8bit": replace(lighter, batch_size=1, optimizer="adamw-8bit"),
        "--recompute --batch-size 1 --optimizer adafactor": replace(lighter, batch_size=1, optimizer="adafactor"),
        "--for tune": replace(job, purpose="tune"),
        "--for tune --recompute --batch-size 1": replace(lighter, purpose="tune", batch_size=1),
    }
    fitting = (how for how, change in changes.items() if there and sum(memory(change, precision).values()) <= there)
    return next(fitting, None) if job.purpose == "train" else None


def plan_job(job: Any) -> dict[str, Any]:
    """Counts, FLOPs, memory and time of one job."""
    return {**size_of(job), **time_of(job)}


def time_of(job: Any) -> dict[str, Any]:
    """Seconds of one job, by a probe of seconds."""
    from fourfold.pretraining import measure_speed
    from fourfold.training import choose_precision

    speed = measure_speed(job, choose_precision())
    return {"seconds": speed.seconds, "seconds_spread": speed.spread, "measured": speed.how}


def size_of(job: Any) -> dict[str, Any]:
    """Counts, FLOPs and memory of one job: nothing is run."""
    from fourfold.models.inspection import count, forward_flops_by_operator, kv_bytes
    from fourfold.pretraining import flops, flops_per_token, memory, rule_of_six
    from fourfold.training import FLOAT32, choose_precision

    precision = choose_precision()
    parts = memory(job, precision)
    full = memory(replace(job, purpose="train"), FLOAT32) if job.purpose == "train" else parts
    counts = count(job.config)
    return {
        "purpose": job.purpose,
        "parameters": counts.total,
        "parameters_active": counts.active,
        "tokens": job.tokens,
        "batch_size": job.batch_size,
        "context": job.row,
        "recompute": job.recompute,
        "precision": str(precision),
        "train_flops": flops(job),
        "flops_per_token": flops_per_token(job),
        "forward_flops_by_operator": forward_flops_by_operator(job.config, job.row),
        "rule_of_six": rule_of_six(job),
        "kv_bytes_per_token": kv_bytes(job.config, 1, 2 if precision.autocast is not None else 4),
        "memory_bytes": sum(parts.values()),
        "memory": parts,
        "memory_bytes_fp32": sum(full.values()),
    }


def fits_here(needed: float) -> bool:
    """Whether so many bytes are no more than this machine has; where that is not known, yes."""
    from fourfold.pretraining import machine_memory

    there = machine_memory()
    return there is None or needed <= there


def with_verdict(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with a verdict in front; one without a time was not timed."""
    from fourfold.pretraining import machine_memory

    there = machine_memory()
    needed = gigabytes(plan["memory_bytes"]).removesuffix(" GB")
    fits = fits_here(plan["memory_bytes"])
    room = f"{needed} of {gigabytes(there)}" if there else f"{needed} GB"
    time = f", {between(plan['seconds'], plan['seconds_spread'])}" if "seconds" in plan else ""
    verdict = f"{'fits' if fits else 'does not fit'}: {room}{time}"
    return {"verdict": verdict, "fits": fits, "machine_memory_bytes": there, **plan}


def _show(plan: dict[str, Any]) -> None:
    show(plan["verdict"])
    if not plan["fits"] and "would_fit" in plan:
        how = plan["would_fit"]
        show(f"{how} would fit" if how else "nothing but more memory would: --devices plans it elsewhere")
    show()
    if "stages" in plan:
        show_table(
            {
                "stage": stage["stage"],
                "parameters": stage["parameters"],
                "FLOPs": stage["train_flops"],
                "memory": gigabytes(stage["memory_bytes"]),
                "time": duration(stage["seconds"]),
                "known from": stage["measured"],
            }
            for stage in plan["stages"]
        )
        return
    from fourfold.cli.plan_cluster import show_size

    show_size(plan)
    show(f"memory      {gigabytes(plan['memory_bytes'])}: "
         + ", ".join(f"{part} {gigabytes(size)}" for part, size in plan["memory"].items() if size))  # fmt: skip
    if plan["kv_bytes_per_token"]:
        show(f"decoding    {kilobytes(plan['kv_bytes_per_token'])} of keys and values a token")
    if "seconds" not in plan:
        return
    show(f"time        {between(plan['seconds'], plan['seconds_spread'])} ({plan['measured']}, {plan['precision']})")
    if plan["purpose"] == "train" and plan["measured"] == PLAIN and plan["seconds"] >= COMPILED_AFTER:
        show("            a training this long compiles its layers and is faster: --compile times that")


def kilobytes(count: float) -> str:
    return f"{count / 1e3:,.1f} kB" if count < 1e6 else gigabytes(count)


def _number(text: str) -> float:
    """`300M`, `1.4T`, `5e8`."""
    scale = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}.get(text[-1:].lower(), 1.0)
    try:
        return float(text if scale == 1.0 else text[:-1]) * scale
    except ValueError:
        raise UserError("not a number of tokens", expected="such as 300M or 1.4T", got=text) from None
