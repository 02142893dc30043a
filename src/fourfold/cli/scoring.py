"""`fourfold score`: how well a model predicts a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.cli.console import finish, show_json, show_table
from fourfold.cli.options import EVALUATE, DataType, Json, Model, load_model, read_input
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference import Endpoint, LanguageModel, TextEncoder

commands = typer.Typer()


@commands.command(rich_help_panel=EVALUATE, epilog="Example: fourfold score smollm2 speech.txt")
def score(
    model: Model,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A UTF-8 text file, or - for standard input.")],
    lines: Annotated[bool, typer.Option("--lines", help="Score each line as a text of its own.")] = False,
    dtype: DataType = None,
    as_json: Json = False,
) -> None:
    """Perplexity, bits per byte and bits per character of a text.

    Every byte is paid for: the text is scored from the model's document-start token. Only bits per byte
    compares models with different tokenizers, and only within one language.
    """
    from fourfold.inference import say_if_hard_to_read, say_if_unnormalised

    text = read_input(file)
    texts = [line for line in text.splitlines() if line.strip()] if lines else [text]
    if not any(texts):
        raise UserError("there is no text to score", where=file)
    lm = load_model(model, dtype)
    say_if_hard_to_read(lm, model, texts)
    say_if_unnormalised(lm, model)
    size, characters = sum(len(text.encode()) for text in texts), sum(map(len, texts))
    nats, tokens, stride = _totals(lm, texts)
    row = {
        "model": model,
        "texts": len(texts),
        "bytes": size,
        "characters": characters,
        "tokens": tokens,
        "bits_per_byte": nats / math.log(2) / size,
        "bits_per_character": nats / math.log(2) / characters,
        "perplexity": math.exp(nats / max(tokens, 1)),
        "log_prob": -nats,
        "stride": stride,
    }
    if as_json:
        show_json(row)
    else:
        headings = {"bits_per_byte": "bits/byte", "bits_per_character": "bits/char", "perplexity": "perplexity"}
        show_table([row], {**{key: key for key in ("bytes", "characters", "tokens")}, **headings, "stride": "stride"})
    finish(next_command=["generate", model, "The"], result_on_stdout=False)


def _totals(lm: LanguageModel | TextEncoder | Endpoint, texts: list[str]) -> tuple[float, int, int | None]:
    """Nats and tokens of all texts, and the stride where one was longer than the context.

    A word n-gram model reads lines as bytes and tells their totals only: no Python object a word.
    """
    from fourfold.inference import EncodesLines, LanguageModel, score_lines
    from fourfold.models import DirectScorer

    if isinstance(lm, LanguageModel) and not any("\n" in text for text in texts):
        module, tokenizer = lm.module, lm.tokenizer
        if isinstance(module, DirectScorer) and isinstance(tokenizer, EncodesLines):
            found = score_lines(module, tokenizer, "\n".join(texts).encode(), lm.device)
            return -math.fsum(found.totals), int(found.tokens.sum()), None
    scores = lm.score(texts)
    stride = next((score.stride for score in scores if score.stride is not None), None)
    return -math.fsum(score.total for score in scores), sum(len(score.ids) for score in scores), stride
