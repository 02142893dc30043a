"""The methods of a claim as a paragraph that could stand in a paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fourfold.workflow.claims.catalogue import measured_labels
from fourfold.workflow.claims.results import Results
from fourfold.workflow.claims.spec import Claim, Size, TrainingOptions
from fourfold.workflow.report.formatting import short_count

ARRANGEMENTS = {
    "stream": "every token from those before it",
    "halves": "the second half of a row from the first",
    "prefix": "the second half of a row from the first, which is read in both directions",
    "encoder-decoder": "the second half of a row by a decoder from the first, read by an encoder",
}
PAIRED = (
    "Differences are taken within a seed and given with Student's 95 % interval over seeds; shares of failed runs are "
    "compared by McNemar's exact test over runs."
)


def write_methods(claim: Claim, size: Size, results: Results) -> str:
    """What was varied, how the models came to be, on what text, and how they are compared."""
    axes = "; ".join(f"{axis.label} ({', '.join(claim.labels(axis, size))})" for axis in claim.axis)
    made = {kind: [model for model in results.models if model["making"] == kind] for kind in ("trained", "counted")}
    sentences = [f"We vary {axes}, and make each combination with {claim.size(size).seeds} seeds."]
    if claim.questions is not None:
        return " ".join([_asking(claim, size, results), PAIRED])
    if claim.labelled is not None:
        return " ".join([*sentences, *_labelling(claim, size, results), PAIRED])
    if made["trained"]:
        sentences += _training(claim, size, made["trained"])
    if made["counted"]:
        sentences.append(_counting(made["counted"]))
    sentences += _text(claim, results.data)
    sentences.append(PAIRED)
    return " ".join(sentences)


def _training(claim: Claim, size: Size, models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    training = TrainingOptions.model_validate({**claim.training.model_dump(), **claim.size(size).training})
    flops = " to ".join(
        dict.fromkeys(short_count(end(float(model["flops"]) for model in models)) for end in (min, max))
    )
    varied = any(all("lr" in value.training for value in axis.values.values()) for axis in claim.axis)
    rate = "as varied" if varied else f"{training.lr:g}"
    yield (
        f"A trained model has {_span(models, 'parameters')} parameters; the seed sets its initial weights and the "
        f"order of the data. It is trained for {_span(models, 'steps')} steps of "
        f"{training.batch_size * training.context:,} tokens (rows of {training.context}), {flops} FLOPs a model, "
        f"with AdamW (Loshchilov and Hutter 2019; peak learning rate {rate}, {training.warmup:.0%} warm-up, "
        f"{training.schedule} schedule, weight decay {training.weight_decay:g}, gradients clipped at "
        f"{training.clip:g}) in fp32, unless a value says otherwise."
    )
    if not any("arrangement" in value.training for axis in claim.axis for value in axis.values.values()):
        yield f"It predicts {ARRANGEMENTS[training.arrangement]}."


def _counting(models: Sequence[Mapping[str, Any]]) -> str:
    return (
        f"A counted model stores {_span(models, 'parameters')} probabilities and back-off weights; the seed draws "
        "the documents that are counted."
    )


def _asking(claim: Claim, size: Size, results: Results) -> str:
    assert claim.questions is not None
    data, seeds = results.data, claim.size(size).seeds
    ways = "; ".join(
        f"{axis.label} ({', '.join(measured_labels(claim, axis, size))})"
        for axis in claim.axis
        if len(measured_labels(claim, axis, size)) > 1
    )
    return (
        f"{data['model']} is asked questions of {data['title']} ({data['paper']}; {data['licence']}; "
        f"{data['questions']:,} questions of {data['source']}, sha256 {data['sha256'][:12]}), without demonstrations. "
        f"We vary {ways} on the same questions. In an order drawn beforehand, each of {seeds} seeds has the next "
        f"{claim.questions.items} questions for itself, so seeds are independent. Letters are generated greedily."
    )


def _labelling(claim: Claim, size: Size, results: Results) -> Iterator[str]:
    assert claim.labelled is not None
    data, own = results.data, claim.labelled
    training = TrainingOptions.model_validate({**claim.training.model_dump(), **claim.size(size).training})
    tokens = max(int(model["steps"]) for model in results.models) * training.batch_size * training.context
    yield (
        f"All features are learnt from {', '.join(claim.data.sources)} ({data['train_tokens']:,} tokens of a "
        f"byte-level BPE of {data['vocabulary_size']:,}, whose tokens are the words here), each from about {tokens:,} "
        "tokens, repeated where the text is shorter. Their classifier reads the mean and the maximum over a "
        "record. Static vectors are skip-gram's with negative sampling and are frozen, as are ELMo's states, of which "
        "the task learns the mix; the encoder was pre-trained by masked words and is tuned whole."
    )
    yield (
        f"The labels are those of {data['source']} ({data['classes']} classes, {data['examples']:,} records to learn "
        f"from and {data['limit']:,} held out a seed, drawn by the seed from {data['train_records']:,} and "
        f"{data['held_out_records']:,}; the most frequent class is {data['majority']:.1%} of those held out). The "
        f"classifier takes {own.steps} steps of {own.batch_size} records with AdamW in fp32; dropout is 0.1."
    )


def _text(claim: Claim, data: Mapping[str, Any]) -> Iterator[str]:
    second = ""
    if claim.data.second:
        second = f" The second is {', '.join(claim.data.second)}: {data['second_train_tokens']:,} training tokens."
    yield (
        f"The text is {', '.join(claim.data.sources)}: {data['train_tokens']:,} training tokens of a byte-level BPE of "
        f"{data['vocabulary_size']:,}; everything is measured on documents held out from it "
        f"({data['held_out_tokens']:,} tokens; token frequencies alone give {data['token_frequency_loss']:.3f} nats a "
        f"token).{second}"
    )
    if any("parts" in value.training for axis in claim.axis for value in axis.values.values()):
        yield "Where less than the whole text is read, documents are drawn in an order of the seed up to that size."


def _span(models: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [int(model[key]) for model in models]
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
