"""ELMo in a folder: `config.json` and `model.safetensors`, as the other architectures that are only ours."""

from __future__ import annotations

from pathlib import Path

import torch

from fourfold.errors import UserError
from fourfold.files import atomic_folder, read_json, write_json
from fourfold.models.codec import plain, read_option
from fourfold.models.elmo.config import ElmoConfig
from fourfold.models.elmo.model import ElmoLM

ELMO = "fourfold-elmo"
WEIGHTS = "model.safetensors"


def save_elmo(model: ElmoLM, folder: Path) -> None:
    from safetensors.torch import save_file

    with atomic_folder(folder) as part:
        save_file({name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}, part / WEIGHTS)
        write_json(part / "config.json", {"model_type": ELMO, **plain(model.config)})


def load_elmo(folder: Path) -> ElmoLM:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    keys = read_json(folder / "config.json")
    if not isinstance(keys, dict) or keys.pop("model_type", None) != ELMO:
        raise UserError("not an ELMo folder", where=folder / "config.json", expected=f'"model_type": "{ELMO}"')
    config: ElmoConfig = read_option(ElmoConfig, keys, folder / "config.json")
    with torch.device("meta"):
        model = ElmoLM(config)
    try:
        tensors = load_file(folder / WEIGHTS)
        model.load_state_dict(tensors, assign=True)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError("the weights do not fit the configuration", where=folder / WEIGHTS, got=_first(error)) from None
    return model.eval()


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()
