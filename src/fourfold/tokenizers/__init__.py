"""Text to ids and back: byte-level BPE, tokenizer files, chat templates."""

from fourfold.tokenizers.byte_level import BYTE_OF_CHARACTER, CHARACTER_OF_BYTE
from fourfold.tokenizers.extension import Extension, extend_tokenizer
from fourfold.tokenizers.folders import has_tokenizer
from fourfold.tokenizers.framing import framed
from fourfold.tokenizers.gguf import from_gguf
from fourfold.tokenizers.gguf_write import to_gguf
from fourfold.tokenizers.reading import ScriptCost, hard_to_read, script_costs
from fourfold.tokenizers.rendering import RenderingProcess
from fourfold.tokenizers.templates import CHATML, TemplateRenderer, Tools, render
from fourfold.tokenizers.tokenizer import Pair, TextStream, Tokenizer
from fourfold.tokenizers.trainers import CHAT_TOKENS, END_OF_TEXT, byte_tokenizer, train_byte_bpe

__all__ = [
    "BYTE_OF_CHARACTER",
    "CHARACTER_OF_BYTE",
    "CHATML",
    "CHAT_TOKENS",
    "END_OF_TEXT",
    "Extension",
    "Pair",
    "RenderingProcess",
    "ScriptCost",
    "TemplateRenderer",
    "TextStream",
    "Tokenizer",
    "Tools",
    "byte_tokenizer",
    "extend_tokenizer",
    "framed",
    "from_gguf",
    "hard_to_read",
    "has_tokenizer",
    "render",
    "script_costs",
    "to_gguf",
    "train_byte_bpe",
]
