"""The models of a run: each loaded once, and let go when no later stage names it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fourfold.files import read_json

MODEL_FOLDERS = {"pretrain": "model", "tune": "adapter"}
"""Where a stage that makes a model leaves it."""

PUBLISHED = {
    "smollm2": {"label": "SmolLM2-135M", "generation": "large"},
}


def load_reference(reference: str) -> Any:
    import fourfold  # brings torch; reading a recipe must not wait for it

    return fourfold.load(reference)


class ModelStore:
    """Gives a model for a reference: a stage of this run, or anything `fourfold.load` takes."""

    def __init__(self, stages: Mapping[str, Path], load: Callable[[str], Any] = load_reference) -> None:
        self._stages, self._load = stages, load
        self._loaded: dict[str, Any] = {}

    def location(self, reference: str) -> str:
        """The reference `fourfold.load` takes: the stage's model folder, or the string itself."""
        folder = self._stages.get(reference)
        if folder is None:
            return reference
        return str(folder / MODEL_FOLDERS[reference.partition(".")[0]])

    def get(self, reference: str) -> Any:
        """The model, shared: nobody may change it."""
        if reference not in self._loaded:
            self._loaded[reference] = self.fresh(reference)
        return self._loaded[reference]

    def fresh(self, reference: str) -> Any:
        """A copy of one's own, for training."""
        model = self._load(self.location(reference))
        model.name = reference
        return model

    def keep(self, references: Collection[str]) -> None:
        """Let go of all models but these."""
        for reference in [name for name in self._loaded if name not in references]:
            del self._loaded[reference]
        gc.collect()

    def card(self, reference: str) -> dict[str, Any]:
        """What to call the model: its `label` and `generation`, from its stage's card or what is published; and the
        `config` table that a stage made it from."""
        folder = self._stages.get(reference)
        if folder is None:
            return dict(PUBLISHED.get(reference, {"label": Path(reference).name, "generation": "large"}))
        card = read_json(folder / "card.json")
        named = {"label": card.get("label", reference), "generation": card.get("generation", "large")}
        return {**named, "config": card.get("config", {})}

    def mapping(self, references: Collection[str]) -> Mapping[str, Any]:
        """The models by reference, each loaded when first asked for."""
        return _Models(self, references)


class _Models(Mapping[str, Any]):
    def __init__(self, store: ModelStore, references: Collection[str]) -> None:
        self._store, self._references = store, tuple(dict.fromkeys(references))

    def __getitem__(self, reference: str) -> Any:
        if reference not in self._references:
            raise KeyError(reference)
        return self._store.get(reference)

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)
