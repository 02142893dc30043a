"""What a server has loaded: a model that writes, its adapters under names of their own, an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from fourfold.errors import UserError, nearest
from fourfold.inference import (
    LanguageModel,
    Prompt,
    Request,
    Sampling,
    TextEncoder,
    TextTokenizer,
    draft_model,
    end_of_turn,
    feed_for,
)
from fourfold.models import Linear, LowRankDelta
from fourfold.models.files import attach_adapter
from fourfold.serving.errors import ApiError, shown
from fourfold.serving.keys import NAME
from fourfold.tokenizers import Tokenizer, has_tokenizer


class Voice(NamedTuple):
    """One name clients may ask for: the model with one adapter, or with none."""

    name: str
    tokenizer: TextTokenizer
    stop_ids: frozenset[int]
    gates: tuple[float, ...] | None
    """One for each delta of a layer; None: the model has no deltas."""


class Loaded:
    """The models of one server, looked up by name; a name is never a path."""

    def __init__(
        self,
        model: LanguageModel | None,
        encoder: TextEncoder | None = None,
        adapters: Mapping[str, Path] | None = None,
        draft: LanguageModel | None = None,
    ) -> None:
        """`draft`: a smaller model that guesses for `model` where a request wants it to."""
        if model is None and encoder is None:
            raise UserError("there is nothing to serve")
        self.model, self.encoder, self.draft = model, encoder, draft
        self.voices: dict[str, Voice] = {}
        if model is not None:
            self._feed = feed_for(model.module, model.tokenizer, model.name, None, model.answer_start)
            self.voices = _voices(model, adapters or {})
            if draft is not None:
                draft_model(draft, model.tokenizer)  # refuses one of another tokenizer
        elif adapters:
            raise UserError("an encoder has no adapters to choose from", where=next(iter(adapters)))

    @property
    def names(self) -> list[str]:
        """Every name, those that write first."""
        return [*self.voices, *([self.encoder.name] if self.encoder is not None else [])]

    def voice(self, name: str | None) -> Voice:
        """The one that writes under this name; without a name the model itself."""
        if not self.voices:
            raise ApiError(400, f"'{self.names[0]}' only makes embeddings: use /v1/embeddings.", code="unsupported")
        if name is None:
            return next(iter(self.voices.values()))
        if name not in self.voices:
            raise self.unknown(name)
        return self.voices[name]

    def unknown(self, name: str) -> ApiError:
        """The error for a name that nothing answers to."""
        guess = nearest(name[:80], self.names)
        hint = f" Did you mean '{guess}'?" if guess else f" There is: {', '.join(self.names)}."
        return ApiError(404, f"There is no model '{shown(name)}' here.{hint}", param="model", code="model_not_found")

    def prompt(self, ids: list[int]) -> Prompt:
        return self._feed.prompt(ids)

    def request(self, voice: Voice, prompt: Prompt, sampling: Sampling) -> Request:
        """What the engine is asked for one answer of a voice."""
        assert self.model is not None
        return self.model.request(
            prompt, sampling, tokenizer=voice.tokenizer, stop_ids=voice.stop_ids, adapters=voice.gates
        )


def _voices(model: LanguageModel, adapters: Mapping[str, Path]) -> dict[str, Voice]:
    if model.name in adapters:
        raise UserError("an adapter cannot have the name of its model", got=model.name)
    module = model.module
    if not adapters:
        return {model.name: Voice(model.name, model.tokenizer, model.stop_ids, None)}
    assert isinstance(module, nn.Module)
    own = _level(module)
    for name, folder in adapters.items():
        if NAME.fullmatch(name) is None:
            raise UserError("not a name for an adapter", expected="letters, digits, '.', '_' and '-'", got=name)
        if not (folder / "adapter_config.json").is_file():
            raise UserError("no adapter here", where=folder, expected="adapter_config.json")
        attach_adapter(module, folder)
        _level(module)
    module.eval()
    voices = {model.name: Voice(model.name, model.tokenizer, model.stop_ids, _gates(own, len(adapters), None))}
    for number, (name, folder) in enumerate(adapters.items()):
        tokenizer, stops = model.tokenizer, model.stop_ids
        if has_tokenizer(folder):
            tokenizer = _fitting(Tokenizer.load(folder), model, folder)
            stops |= end_of_turn(tokenizer)
        voices[name] = Voice(name, tokenizer, stops, _gates(own, len(adapters), number))
    return voices


def _fitting(tokenizer: Tokenizer, model: LanguageModel, folder: Path) -> Tokenizer:
    if tokenizer.vocabulary_size > model.module.vocabulary_size:
        raise UserError("the adapter's tokenizer has more tokens than the model", where=folder,
                        expected=model.module.vocabulary_size, got=tokenizer.vocabulary_size)  # fmt: skip
    return tokenizer


def _level(module: nn.Module) -> int:
    """Give every layer as many deltas as the one with most: a gate is a place in the list, the same in all layers.

    A layer that an adapter leaves alone gets a delta of rank 0, which adds nothing.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, Linear)]
    most = max((len(layer.deltas) for layer in layers), default=0)
    for layer in layers:
        while len(layer.deltas) < most:
            layer.deltas.append(LowRankDelta(layer.in_size, layer.out_size, 0, 0.0).to(torch.float32))
    return most


def _gates(own: int, adapters: int, chosen: int | None) -> tuple[float, ...]:
    """The model's own deltas always act; of the adapters, one or none."""
    return (*(1.0 for _ in range(own)), *(float(number == chosen) for number in range(adapters)))
