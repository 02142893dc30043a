"""What `fourfold generate` can be asked for beyond a plain draw: penalties, forms, searches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference import Constraint, Strategy

FORM, SEARCH, MORE = "Form of the answer", "Search", "Choice of tokens"

TypicalP = Annotated[float | None, typer.Option(help="Sample among typical tokens.", rich_help_panel=MORE)]
RepetitionPenalty = Annotated[float, typer.Option(help="Above 1 against repetition.", rich_help_panel=MORE)]
PresencePenalty = Annotated[float, typer.Option(help="Against tokens of the answer, once.", rich_help_panel=MORE)]
FrequencyPenalty = Annotated[float, typer.Option(help="Against them, each time.", rich_help_panel=MORE)]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=NUMBER", help="Added to a logit; may be given again.", rich_help_panel=MORE),
]
Answers = Annotated[int, typer.Option("--n", help="Answers a prompt.", rich_help_panel=MORE)]
Alternatives = Annotated[int, typer.Option(help="With --json: probable ids beside each token.", rich_help_panel=MORE)]
JsonSchema = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The answer is JSON by this schema.", rich_help_panel=FORM)
]
Regex = Annotated[str | None, typer.Option(help="The answer matches this, whole.", rich_help_panel=FORM)]
Choice = Annotated[
    list[str] | None, typer.Option(help="The answer is one of these; give it again for each.", rich_help_panel=FORM)
]
Grammar = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The answer is derived by this Lark grammar.", rich_help_panel=FORM)
]
Beams = Annotated[int | None, typer.Option(help="Beam search with so many hypotheses.", rich_help_panel=SEARCH)]
LengthPenalty = Annotated[float, typer.Option(help="Of beam search: above 0 for longer.", rich_help_panel=SEARCH)]
ContrastiveAlpha = Annotated[
    float | None, typer.Option("--contrastive", metavar="ALPHA", help="Contrastive search.", rich_help_panel=SEARCH)
]
BestOfCount = Annotated[
    int | None, typer.Option("--best-of", help="Sample so many, give the most probable.", rich_help_panel=SEARCH)
]
LookUp = Annotated[
    bool, typer.Option("--look-up", help="Guess what followed the same words before; faster.", rich_help_panel=SEARCH)
]
Draft = Annotated[
    str | None, typer.Option(metavar="MODEL", help="A smaller model that guesses; faster.", rich_help_panel=SEARCH)
]
Guessed = Annotated[int, typer.Option("--guess", help="Tokens guessed at a time.", rich_help_panel=SEARCH)]


def biases(pairs: list[str] | None) -> dict[int, float]:
    """`12=-100` as a number for an id."""
    found = {}
    for pair in pairs or []:
        id, _, number = pair.partition("=")
        try:
            found[int(id)] = float(number)
        except ValueError:
            raise UserError("not a bias", where="--logit-bias", expected="ID=NUMBER", got=pair) from None
    return found


def constraint(
    schema: Path | None, expression: str | None, options: list[str] | None, rules: Path | None
) -> Constraint | None:
    """The one form that is asked for."""
    from fourfold.files import read_text
    from fourfold.inference import choice, grammar, json_schema, regex

    asked = {"--json-schema": schema, "--regex": expression, "--choice": options or None, "--grammar": rules}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise UserError("an answer has one form", expected="one of these", got=" and ".join(given))
    if schema is not None:
        return json_schema(read_text(schema))
    if expression is not None:
        return regex(expression)
    if rules is not None:
        return grammar(read_text(rules))
    return choice(options) if options else None


def strategy(
    *,
    beams: int | None,
    length_penalty: float,
    contrastive: float | None,
    best_of: int | None,
    look_up: bool,
    draft: str | None,
    guessed: int,
) -> Strategy | None:
    """The one search that is asked for."""
    from fourfold.inference import Beam, BestOf, Contrastive, Speculative

    asked = {
        "--beams": beams is not None,
        "--contrastive": contrastive is not None,
        "--best-of": best_of is not None,
        "--look-up": look_up,
        "--draft": draft is not None,
    }
    given = [name for name, is_given in asked.items() if is_given]
    if len(given) > 1:
        raise UserError("an answer is looked for in one way", expected="one of these", got=" and ".join(given))
    if beams is not None:
        return Beam(size=beams, length_penalty=length_penalty)
    if contrastive is not None:
        return Contrastive(alpha=contrastive)
    if best_of is not None:
        return BestOf(count=best_of)
    return Speculative(draft=draft, tokens=guessed) if given else None
