"""Model folders: `config.json` and safetensors, in Hugging Face's layout where it has the architecture.

Our own kinds (n-grams, recurrent models, transformers no family expresses) use the same layout
with a `model_type` of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fourfold.errors import UserError, unknown_name
from fourfold.files import read_json, write_json
from fourfold.models.elmo import ELMO, ElmoLM, load_elmo, save_elmo
from fourfold.models.families import FAMILIES, family_for, family_named
from fourfold.models.files.family_config import SENSELESS as SENSELESS
from fourfold.models.files.family_config import Config, read_family_config
from fourfold.models.files.own import OWN_KINDS, read_own, write_own
from fourfold.models.files.packed_folder import KEY, describe_packed, read_packed
from fourfold.models.files.tensors import check_tensors, read_weights, write_weights
from fourfold.models.interop import from_file, name_in_file, to_file
from fourfold.models.linear import hold, make_dense
from fourfold.models.ngram import NGramLM, load_ngram, save_ngram
from fourfold.models.packed import Packed, settle
from fourfold.models.recurrent import RecurrentConfig, RecurrentLM
from fourfold.models.transformer import EncoderDecoder, EncoderDecoderConfig, TransformerConfig, TransformerLM

NGRAM = "fourfold-ngram"
FEW = 1000
"""Modules built without asking, so that what is missing can be named."""
NETWORKS = (TransformerLM, EncoderDecoder, RecurrentLM)

Network = TransformerLM | EncoderDecoder | RecurrentLM


def save_model(module: nn.Module, folder: Path | str, extra_config: Mapping[str, Any] | None = None) -> None:
    """Write a model folder; `extra_config` is added to `config.json` (token ids, say, unless they already mean
    something there: RoBERTa counts its positions from `pad_token_id`)."""
    folder = Path(folder)
    if isinstance(module, NGramLM | ElmoLM):
        save_ngram(module, folder) if isinstance(module, NGramLM) else save_elmo(module, folder)
        write_json(folder / "config.json", read_json(folder / "config.json") | dict(extra_config or {}))
        return
    assert isinstance(module, NETWORKS), type(module)
    tensors = own_tensors(module)
    if any(".deltas." in name for name in tensors):
        raise UserError("the model carries an adapter", advice="Merge it first, or save the adapter alone.")
    family = None if isinstance(module.config, RecurrentConfig) else family_for(module.config)
    packed = describe_packed(module)
    if packed:  # its own layout: nobody else's has a place for such tensors
        assert not isinstance(module.config, RecurrentConfig)
        config = write_own(module.config) | packed
        named = {name: tensor.clone() if ".packed." in name else tensor for name, tensor in tensors.items()}
    elif family is None or isinstance(module.config, RecurrentConfig):
        config, named = write_own(module.config), tensors
    else:
        keys = family.express(module.config)
        assert keys is not None
        config, named = keys, to_file(family, module.config, tensors)
    config["dtype"] = str(next(module.parameters()).dtype).removeprefix("torch.")
    write_weights(folder, named)
    meant = {key: value for key, value in config.items() if key.endswith("_token_id") and value is not None}
    write_json(folder / "config.json", config | dict(extra_config or {}) | meant)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module, each tensor once under its first name: encoder and decoder share an embedding."""
    names: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    for name, tensor in state.items():
        names.setdefault(id(tensor), name)
    return {name: state[name].detach() for name in names.values()}


def load_model(
    folder: Path | str, dtype: torch.dtype | Callable[[nn.Module], torch.dtype | None] | None = None
) -> nn.Module:
    """Read a model folder; without `dtype` the weights keep the precision of the file.

    A function chooses the precision once it sees the module, which has no weights yet. In the file's own precision
    the weights stay in the mapped file; in another they are turned one by one, so that no second copy is held.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder", where=folder)
    if not (folder / "config.json").is_file():
        raise UserError("not a model folder: it has no config.json", where=folder)
    keys = read_json(folder / "config.json")
    kind = keys.get("model_type") if isinstance(keys, dict) else None
    if not isinstance(kind, str):
        raise UserError("the configuration has no model_type", where=folder / "config.json")
    if kind == NGRAM:
        return load_ngram(folder)
    if kind == ELMO:
        return load_elmo(folder)
    if kind in OWN_KINDS:
        tensors = read_weights(folder)
        module = make_empty(read_own({key: value for key, value in keys.items() if key != KEY}, folder), len(tensors))
        if KEY in keys:
            return _packed(module, tensors, keys[KEY], folder, dtype)
        tensors.dtype = dtype(module) if callable(dtype) else dtype
        return fill(module, own_names(module, tensors), folder)
    if kind not in FAMILIES:
        raise unknown_name("model architecture", kind, [*FAMILIES, *OWN_KINDS, NGRAM, ELMO], folder / "config.json")
    family = family_named(kind)
    tensors = read_weights(folder)
    config = read_family_config(family, keys, folder / "config.json", tensors.keys())
    module = make_empty(config, len(tensors))
    tensors.dtype = dtype(module) if callable(dtype) else dtype
    found = from_file(family, config, tensors, own_tensors(module), tensors.alone)
    return fill(module, found, folder, partial(name_in_file, family, config), partial(to_file, family, config))


def _packed(
    module: Network,
    tensors: Mapping[str, Tensor],
    said: object,
    folder: Path,
    dtype: torch.dtype | Callable[[nn.Module], torch.dtype | None] | None,
) -> nn.Module:
    """A folder with packed weights; a number type that was asked for unpacks them."""
    weights = read_packed(module, tensors, said, folder / "config.json")
    rest = {name: tensor for name, tensor in tensors.items() if ".packed." not in name}
    place = {f"{name}.weight": torch.empty(w.rows, w.columns, device="meta") for name, w in weights.items()}
    fill(module, rest | place, folder)
    for name, matrix in weights.items():
        hold(module, name, Packed(matrix))
    if isinstance(dtype, torch.dtype):
        return make_dense(module, dtype).to(dtype)
    settle(module)
    return module


def own_names(module: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one of our own files; before a head had parts, its projection was called `head`."""
    old = {} if isinstance(module, RecurrentLM) else {"head.weight": "head.projection.weight"}
    return {old.get(name, name): tensor for name, tensor in tensors.items()}


def make_empty(config: Config | RecurrentConfig, tensors: int | None = None) -> Network:
    """The module of a configuration without memory for its weights; `tensors` says how many the file has.

    UserError for sizes no file could fill, before a module is built for every layer they claim.
    """
    if tensors is not None and config.layers * _experts(config) > tensors + FEW:
        raise UserError("the configuration claims more layers than there are tensors", got=config.layers)
    try:
        with torch.device("meta"), _NoInitialisation():
            match config:
                case TransformerConfig():
                    return TransformerLM(config)
                case EncoderDecoderConfig():
                    return EncoderDecoder(config)
                case RecurrentConfig():
                    return RecurrentLM(config)
    except (RuntimeError, OverflowError, TypeError):
        raise UserError("the sizes in the configuration are senseless") from None


def _experts(config: Config | RecurrentConfig) -> int:
    experts = config.feed_forward.experts if isinstance(config, TransformerConfig) else None
    return 1 if experts is None else experts.count


class _NoInitialisation(TorchFunctionMode):
    """Skips `torch.nn.init`: without memory it has nothing to do, yet makes torch load its compiler (a second)."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        options = options or {}
        if getattr(function, "__module__", None) == "torch.nn.init":  # a method wrapper has no module
            return options.get("tensor", arguments[0] if arguments else None)
        return function(*arguments, **options)


def fill(
    module: Network,
    tensors: Mapping[str, Tensor],
    where: Path,
    named: Callable[[str], str] = str,
    in_file: Callable[[dict[str, Tensor]], Mapping[str, Tensor]] = dict,
) -> Network:
    """Give an empty module its weights, after checking that they are the right ones.

    `named` and `in_file` turn our names and tensors into the file's, for what is said when they are not.
    """
    check_tensors(tensors, own_tensors(module), where, named, in_file)
    whole = sorted({named(name) for name, tensor in tensors.items() if not tensor.is_floating_point()})
    if whole:
        raise UserError("weights that are whole numbers are not supported", where=where, got=", ".join(whole[:10]))
    module.load_state_dict(tensors, strict=False, assign=True)  # the second names of shared tensors are not there
    return module.requires_grad_(True).eval()
