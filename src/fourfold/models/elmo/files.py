"""ELMo in a folder: `config.json` and `model.safetensors`, as the other architectures that are only ours.

A classifier on its features is the same with `classes`, whose names stand in `id2label`, and `of_tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fourfold.errors import UserError
from fourfold.files import atomic_folder, read_json, write_json
from fourfold.models.codec import plain, read_option
from fourfold.models.elmo.config import ElmoConfig
from fourfold.models.elmo.features import ElmoFeatures, FeatureClassifier
from fourfold.models.elmo.model import ElmoLM

ELMO = "fourfold-elmo"
WEIGHTS = "model.safetensors"


def save_elmo(model: ElmoLM | FeatureClassifier, folder: Path, labels: Sequence[str] = ()) -> None:
    """The language models, or a classifier on their states with the names of its classes."""
    from safetensors.torch import save_file

    keys: dict[str, Any] = {"model_type": ELMO}
    if isinstance(model, FeatureClassifier):
        assert isinstance(model.features, ElmoFeatures)
        keys |= plain(model.features.model.config) | {"classes": model.output.out_features}
        keys |= {"of_tokens": model.of_tokens, "id2label": {str(number): name for number, name in enumerate(labels)}}
    else:
        keys |= plain(model.config)
    with atomic_folder(folder) as part:
        save_file({name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}, part / WEIGHTS)
        write_json(part / "config.json", keys)


def load_elmo(folder: Path) -> ElmoLM | FeatureClassifier:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    keys = read_json(folder / "config.json")
    if not isinstance(keys, dict) or keys.pop("model_type", None) != ELMO:
        raise UserError("not an ELMo folder", where=folder / "config.json", expected=f'"model_type": "{ELMO}"')
    with torch.device("meta"):
        model = _empty(keys, folder / "config.json")
    try:
        tensors = load_file(folder / WEIGHTS)
        model.load_state_dict(tensors, assign=True)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError("the weights do not fit the configuration", where=folder / WEIGHTS, got=_first(error)) from None
    return model.eval()


def _empty(keys: dict[str, Any], where: Path) -> ElmoLM | FeatureClassifier:
    classes, of_tokens = keys.pop("classes", None), keys.pop("of_tokens", False)
    keys.pop("id2label", None)  # whoever loads it as a classifier of texts reads these
    config: ElmoConfig = read_option(ElmoConfig, keys, where)
    if classes is None:
        return ElmoLM(config)
    if not isinstance(classes, int) or classes < 1 or not isinstance(of_tokens, bool):
        raise UserError("the classes are senseless", where=where, expected="at least 1", got=classes)
    return FeatureClassifier(ElmoFeatures(ElmoLM(config)), classes, of_tokens=of_tokens)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()
