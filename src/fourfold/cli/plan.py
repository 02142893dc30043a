"""`fourfold plan`: will it fit, and how long will it take?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import duration, finish, gigabytes, show, show_json, show_table
from fourfold.cli.options import START, Json
from fourfold.errors import UserError

commands = typer.Typer()
TOKENS_PER_PARAMETER = 20
"""Compute-optimal training by Hoffmann et al. 2022, table 3."""


@commands.command(
    rich_help_panel=START, epilog="Example: fourfold plan smollm2:135m --tokens 10M   or   fourfold plan recipe.toml"
)
def plan(
    subject: Annotated[
        str, typer.Argument(metavar="RECIPE|FAMILY:SIZE", help="A recipe file, or smollm2:135m, t5:11b, …")
    ],
    tokens: Annotated[str | None, typer.Option(help="Tokens, e.g. 300M or 1.4T; 20 a parameter if not given.")] = None,
    batch_size: Annotated[int, typer.Option(help="Rows of a step.")] = 1,
    context: Annotated[int | None, typer.Option(help="Tokens of a row; the model's own if not given.")] = None,
    purpose: Annotated[str, typer.Option("--for", help="train, tune (low-rank deltas) or score.")] = "train",
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Keep only the inputs of layers, compute the rest twice.")
    ] = False,
    override: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override in a recipe.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A verdict, then parameters, FLOPs, memory by part and time on this machine, from a probe of seconds."""
    if Path(subject).suffix == ".toml" or Path(subject).is_file():
        from fourfold.cli.recipe_plan import plan_recipe

        result = plan_recipe(Path(subject), override or [])
        following: list[object] = ["run", subject]
    else:
        result = plan_model(subject, tokens, batch_size, context, purpose, recompute)
        following = ["plan", subject, "--for", "tune" if purpose == "train" else "train"]
    if as_json:
        show_json(result)
    else:
        _show(result)
    finish(next_command=following, result_on_stdout=False)


def plan_model(
    reference: str, tokens: str | None, batch_size: int, context: int | None, purpose: Any, recompute: bool = False
) -> dict[str, Any]:
    """The plan of one job on a published architecture."""
    from fourfold.models.inspection import count
    from fourfold.pretraining import Job
    from fourfold.resources import agreement, architectures, find_preset

    if purpose not in ("train", "tune", "score"):
        raise UserError("unknown --for", expected="train, tune or score", got=purpose)
    if ":" not in reference and reference not in architectures():
        raise UserError("neither a recipe nor FAMILY:SIZE", got=reference, advice="For example smollm2:135m.")
    preset = find_preset(reference)
    amount = _number(tokens) if tokens else float(TOKENS_PER_PARAMETER * count(preset.config).total)
    job = Job(
        config=preset.config,
        tokens=amount,
        batch_size=batch_size,
        context=context,
        purpose=purpose,
        recompute=recompute,
    )
    agreed = agreement(preset)
    published = {"published": preset.card.published, "published_difference": agreed.difference} if agreed else {}
    return with_verdict({**plan_job(job), **published, "source": preset.source})


def plan_job(job: Any) -> dict[str, Any]:
    """Counts, FLOPs, memory and time of one job."""
    from fourfold.models.inspection import count, kv_bytes
    from fourfold.pretraining import flops, flops_per_token, measure_speed, memory
    from fourfold.training import FLOAT32, choose_precision

    precision = choose_precision()
    parts = memory(job, precision)
    full = memory(replace(job, purpose="train"), FLOAT32) if job.purpose == "train" else parts
    speed = measure_speed(job, precision)
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
        "kv_bytes_per_token": kv_bytes(job.config, 1, 2 if precision.autocast is not None else 4),
        "memory_bytes": sum(parts.values()),
        "memory": parts,
        "memory_bytes_fp32": sum(full.values()),
        "seconds": speed.seconds,
        "seconds_spread": speed.spread,
        "measured": speed.how,
    }


def with_verdict(plan: dict[str, Any]) -> dict[str, Any]:
    from fourfold.pretraining import machine_memory

    there = machine_memory()
    needed = gigabytes(plan["memory_bytes"]).removesuffix(" GB")
    fits = there is None or plan["memory_bytes"] <= there
    room = f"{needed} of {gigabytes(there)}" if there else f"{needed} GB"
    time = between(plan["seconds"], plan["seconds_spread"])
    verdict = f"{'fits' if fits else 'does not fit'}: {room}, {time}"
    return {"verdict": verdict, "fits": fits, "machine_memory_bytes": there, **plan}


def between(seconds: float, spread: float) -> str:
    """`11 ± 2 min`."""
    for unit, size, limit in (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 259_200), ("days", 86400, 3.2e7)):
        if seconds < limit:
            return f"{seconds / size:.0f} ± {max(spread / size, 1):.0f} {unit}"
    return f"{seconds / 31_557_600:,.0f} ± {max(spread / 31_557_600, 1):,.0f} years"


def _show(plan: dict[str, Any]) -> None:
    show(plan["verdict"])
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
    active = plan["parameters_active"]
    show(f"parameters  {plan['parameters']:,}"
         + (f", {active:,} of them active" if active < plan["parameters"] else "")
         + (f" (published: {plan['published']})" if "published" in plan else ""))  # fmt: skip
    show(f"tokens      {plan['tokens']:,.0f} in rows of {plan['context']:,}, {plan['batch_size']} a step")
    show(f"FLOPs       {plan['train_flops']:.3g}, {plan['flops_per_token']:.3g} a token")
    show(f"memory      {gigabytes(plan['memory_bytes'])}: "
         + ", ".join(f"{part} {gigabytes(size)}" for part, size in plan["memory"].items() if size))  # fmt: skip
    if plan["kv_bytes_per_token"]:
        show(f"decoding    {kilobytes(plan['kv_bytes_per_token'])} of keys and values a token")
    show(f"time        {between(plan['seconds'], plan['seconds_spread'])} ({plan['measured']}, {plan['precision']})")


def kilobytes(count: float) -> str:
    return f"{count / 1e3:,.1f} kB" if count < 1e6 else gigabytes(count)


def _number(text: str) -> float:
    """`300M`, `1.4T`, `5e8`."""
    scale = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}.get(text[-1:].lower(), 1.0)
    try:
        return float(text if scale == 1.0 else text[:-1]) * scale
    except ValueError:
        raise UserError("not a number of tokens", expected="such as 300M or 1.4T", got=text) from None
