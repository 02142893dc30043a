"""Models on disk: Hugging Face folders, GGUF files, PEFT adapters, our own kinds."""

from fourfold.models.files.adapters import attach_adapter, save_adapter
from fourfold.models.files.convert import convert
from fourfold.models.files.describing import Described, describe_folder, describe_gguf
from fourfold.models.files.folder import load_model, save_model
from fourfold.models.files.gguf_blocks import block_format
from fourfold.models.files.gguf_model import GGUFModel, load_gguf, open_gguf, save_gguf, stays_packed
from fourfold.models.files.gguf_reader import GGUF, read_gguf

__all__ = [
    "GGUF",
    "Described",
    "GGUFModel",
    "attach_adapter",
    "block_format",
    "convert",
    "describe_folder",
    "describe_gguf",
    "load_gguf",
    "load_model",
    "open_gguf",
    "read_gguf",
    "save_adapter",
    "save_gguf",
    "save_model",
    "stays_packed",
]
