"""Models on disk: Hugging Face folders, GGUF files, PEFT adapters, our own kinds."""

from fourfold.models.files.adapters import attach_adapter, save_adapter
from fourfold.models.files.convert import convert
from fourfold.models.files.folder import load_model, save_model
from fourfold.models.files.gguf_model import load_gguf, save_gguf
from fourfold.models.files.gguf_reader import GGUF, read_gguf

__all__ = [
    "GGUF",
    "attach_adapter",
    "convert",
    "load_gguf",
    "load_model",
    "read_gguf",
    "save_adapter",
    "save_gguf",
    "save_model",
]
