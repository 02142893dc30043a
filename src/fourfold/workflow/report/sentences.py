"""The three sentences that open the report, computed from the run's numbers.

A difference whose interval holds zero, or two scores whose intervals overlap, is
said to be within noise; a reason is given as what the numbers are consistent
with, never as shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from fourfold.workflow.report.evaluations import Block, comparison, finetuning_blocks, tuning_blocks
from fourfold.workflow.report.formatting import count, duration, fixed, percent, points, short_count, size
from fourfold.workflow.report.language import Text, joined, words, words_or
from fourfold.workflow.report.loading import Run
from fourfold.workflow.report.reading import mapping, number
from fourfold.workflow.report.records import ScoreRow, Stage

COSTS = ("general", "continuation")


def opening_sentences(run: Run) -> list[Text]:
    """Your text; who predicts it best and why; what pre-training was worth; what tuning bought and cost.

    Those the run has numbers for.
    """
    found = (_your_text(run), _best(run), _pretraining(run), _tuning(run))
    return [sentence for sentence in found if sentence is not None]


def _your_text(run: Run) -> Text | None:
    card = next((stage.card for stage in run.of_kind("corpus") if stage.card), None)
    if card is None:
        return None
    documents, sizes = mapping(card.get("documents")), mapping(card.get("bytes"))
    groups = [words_or(f"group_{name}", str(name)) for name in mapping(card.get("groups"))]
    held_out = sum(number(documents.get(split)) or 0 for split in ("validation", "test"))
    return words(
        "sentence_text",
        documents=count(sum(number(value) or 0 for value in documents.values())),
        size=size(sum(number(value) or 0 for value in sizes.values())),
        groups=words("in_groups", groups=joined(groups, ", ", "、")) if groups else Text("", ""),
        held_out=count(held_out),
    )


def _best(run: Run) -> Text | None:
    parts = []
    winners = []
    for group in dict.fromkeys(row.group for row in run.scores):
        rows = [row for row in run.scores if row.group == group and row.split != "train"]
        if not rows:
            continue
        best, *others = sorted(rows, key=lambda row: row.bits_per_byte)
        winners.append(best)
        parts.append(_best_of_group(best, others))
    if not parts:
        return None
    return words("sentence_best", parts=joined(parts), why=_why(run, winners))


def _best_of_group(best: ScoreRow, others: Sequence[ScoreRow]) -> Text:
    group = words_or(f"group_{best.group}", best.group)
    shown = {"group": group, "best": best.label, "bits": fixed(best.bits_per_byte)}
    if not others:
        return words("best_alone", **shown)
    second = others[0]
    key = "best_unclear" if _overlap(best, second) else "best_clear"
    return words(key, **shown, second=second.label, second_bits=fixed(second.bits_per_byte))


def _overlap(best: ScoreRow, second: ScoreRow) -> bool:
    return best.high is not None and second.low is not None and best.high >= second.low


def _why(run: Run, winners: Sequence[ScoreRow]) -> Text:
    """What the result is consistent with, after which kind of model leads."""
    trained = {stage.key: stage for stage in run.of_kind("pretrain")}
    local = [row for row in run.scores if row.model in trained and row.group == winners[0].group]
    local = [row for row in local if row.split != "train"]
    best_local = min(local, key=lambda row: row.bits_per_byte, default=None)
    if winners[0].model not in trained:
        read = winners[0].published_tokens
        elsewhere = words("read_elsewhere", tokens=short_count(read)) if read else words("read_elsewhere_unknown")
        if best_local is None:
            return words("why_large_alone", read=elsewhere)
        reason = _why_local(trained[best_local.model], best_local)
        bits = fixed(best_local.bits_per_byte)
        return words("why_large", local=best_local.label, bits=bits, reason=reason, read=elsewhere)
    return _why_local(trained[winners[0].model], winners[0])


def _why_local(stage: Stage, row: ScoreRow) -> Text:
    seconds = duration(number(stage.card.get("seconds_trained")))
    tokens = short_count(number(stage.card.get("tokens_seen")))
    return words("why_counting" if row.generation == "statistical" else "why_learning", seconds=seconds, tokens=tokens)


def _pretraining(run: Run) -> Text | None:
    """What pre-trained weights did to every task that was also learnt from random ones."""
    blocks = [block for block in finetuning_blocks(run) if block.main]
    effects = [_effect(run, block, row.model) for block in blocks for row in block.rows if row.model != block.base]
    found = [effect for effect in effects if effect is not None]
    return words("sentence_pretraining", parts=joined(found)) if found else None


def _tuning(run: Run) -> Text | None:
    """What the first tuning did to the first task it was meant for, and to general answers, also with replay."""
    blocks = [block for block in tuning_blocks(run) if block.main]
    gained = next((block for block in blocks if not _is_cost(block)), None)
    cost = next((block for block in blocks if _is_cost(block)), None)
    if gained is None:
        return None
    first = next(row.model for row in gained.rows if row.model.startswith("tune."))
    replayed = next((row.model for row in cost.rows if _has_replay(run, row.model)), None) if cost else None
    effects = [_effect(run, gained, first)]
    if cost:
        effects.append(_effect(run, cost, first))
        effects.append(_effect(run, cost, replayed) if replayed and replayed != first else None)
    found = [effect for effect in effects if effect is not None]
    if not found:
        return None
    stage = run.stage(first)
    seconds = number(stage.card.get("seconds")) or stage.seconds if stage else None
    return words("sentence_tuning", parts=joined(found), seconds=duration(seconds), label=run.label(first))


def _is_cost(block: Block) -> bool:
    return block.task.partition(":")[0] in COSTS


def _has_replay(run: Run, model: str) -> bool:
    stage = run.stage(model)
    return stage is not None and (number(stage.card.get("replay_share")) or 0) > 0


def _effect(run: Run, block: Block, tuned: str) -> Text | None:
    before, after = block.row(block.base), block.row(tuned)
    if before is None or after is None or before is after:
        return None
    shown: dict[str, object] = {"label": after.label, "task": _inside(block.name), "before": percent(before.value)}
    shown |= {"after": percent(after.value), "n": after.n}
    paired = comparison(run, block, tuned)
    if paired is None or paired.low is None or paired.high is None:
        return words("effect_unpaired", **shown)
    faintest = before.detectable
    shown["detectable"] = words("effect_detectable", points=f"{100 * faintest:.0f}") if faintest else Text("", "")
    limits = {"change": points(paired.difference), "low": points(paired.low), "high": points(paired.high)}
    unclear = paired.low <= 0 <= paired.high
    key = "effect_unclear" if unclear else "effect_up" if paired.difference > 0 else "effect_down"
    return words(key, **shown, **limits)


def _inside(name: Text) -> Text:
    """A heading as it stands inside a sentence."""
    return Text(name.en[:1].lower() + name.en[1:], name.zh)
