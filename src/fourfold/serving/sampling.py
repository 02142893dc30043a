"""How clients may ask for tokens to be chosen: OpenAI's fields, and beside them ways that it has not."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fourfold.errors import UserError
from fourfold.inference import (
    Beam,
    Constraint,
    Contrastive,
    Drafts,
    Sampling,
    Speculative,
    Strategy,
    choice,
    grammar,
    regex,
)
from fourfold.serving.errors import ApiError

DEFAULT_TOKENS = 512
SEEDS = 2**63
Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Ids = list[TokenId]


class Strict(BaseModel):
    """No other fields."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Open(BaseModel):
    """Other fields are kept."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class StreamOptions(Open):
    include_usage: bool = False


class SamplingFields(Open):
    """What both kinds of completion share."""

    model: Name | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: int | None = Field(default=None, ge=-SEEDS, lt=SEEDS)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=64)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    repetition_penalty: float = Field(default=1.0, gt=0, le=10)
    logit_bias: dict[TokenId, Annotated[float, Field(ge=-100, le=100)]] | None = Field(default=None, max_length=1024)

    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None

    beams: int | None = Field(default=None, ge=1, le=16)
    """Beam search with so many hypotheses."""
    length_penalty: float = Field(default=1.0, ge=-10, le=10)
    """Of beam search."""
    contrastive: float | None = Field(default=None, ge=0, le=1)
    """Contrastive search with this alpha, among the `top_k` (4) most probable tokens."""
    speculative: bool = False
    """Tokens are guessed, by the server's draft model or from what was said before, and checked: the same, faster."""

    def sampling(
        self,
        max_tokens: int | None,
        *,
        constraint: Constraint | None = None,
        alternatives: int = 0,
        draft: Drafts | None = None,
    ) -> Sampling:
        """The choice of tokens; a constraint of `regex`, `choice` or `grammar`, or the one that is given."""
        self.refuse_unknown()
        found = [constraint, *self._constraints()]
        asked = [one for one in found if one is not None]
        if len(asked) > 1:
            raise ApiError(
                400, "An answer can have one form: a JSON schema, a regex, a choice, a grammar or a tool call."
            )
        try:
            return Sampling(
                max_tokens=max_tokens or DEFAULT_TOKENS,
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                min_p=self.min_p,
                stop=self.stop or (),
                seed=self.seed,
                presence_penalty=self.presence_penalty,
                frequency_penalty=self.frequency_penalty,
                repetition_penalty=self.repetition_penalty,
                logit_bias=self.logit_bias or {},
                top_alternatives=alternatives,
                constraint=asked[0] if asked else None,
                strategy=self._strategy(draft),
            )
        except UserError as error:
            raise ApiError(400, str(error)) from None

    def _strategy(self, draft: Drafts | None) -> Strategy | None:
        asked: list[Strategy] = []
        if self.beams is not None:
            asked.append(Beam(size=self.beams, length_penalty=self.length_penalty))
        if self.contrastive is not None:
            asked.append(Contrastive(alpha=self.contrastive, k=self.top_k or Contrastive.k))
        if self.speculative:
            asked.append(Speculative(draft=draft))
        if len(asked) > 1:
            raise ApiError(400, "An answer is searched for in one way: 'beams', 'contrastive' or 'speculative'.")
        if asked and self.n > 1 and not self.speculative:
            raise ApiError(400, "Beam and contrastive search give one answer.", param="n")
        return asked[0] if asked else None

    def _constraints(self) -> list[Constraint | None]:
        try:
            return [
                None if self.regex is None else regex(self.regex),
                None if self.choice is None else choice(self.choice),
                None if self.grammar is None else grammar(self.grammar),
            ]
        except UserError as error:
            raise ApiError(400, str(error)) from None

    def refuse_unknown(self) -> None:
        """Say no to what would silently be ignored otherwise."""
        neutral: dict[str, tuple[Any, ...]] = {
            "functions": (None, []), "function_call": (None, "none"), "suffix": (None, ""),
            "response_format": (None, {"type": "text"}), "tools": (None, []),  # of completions: chat knows them
            "modalities": (None, ["text"]), "audio": (None,), "prediction": (None,), "web_search_options": (None,),
        }  # fmt: skip
        for name, value in (self.model_extra or {}).items():
            if name in neutral and value not in neutral[name]:
                raise ApiError(400, f"'{name}' is not supported by this server.", param=name, code="unsupported")

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage
