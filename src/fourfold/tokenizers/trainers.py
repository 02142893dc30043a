"""Trainers: functions that return a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from fourfold.errors import UserError
from fourfold.tokenizers.byte_level import CHARACTER_OF_BYTE
from fourfold.tokenizers.templates import CHATML
from fourfold.tokenizers.tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"
CHAT_TOKENS = (END_OF_TEXT, "<|im_start|>", "<|im_end|>")
_NAMED = {"mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
"""What Hugging Face's configuration calls the tokens of masked models."""


def byte_tokenizer() -> Tokenizer:
    """The double for tests: id b is byte b, then `<s>`, `</s>` and `<pad>`; nothing is added to a text."""
    vocabulary = {character: byte for byte, character in CHARACTER_OF_BYTE.items()}
    core = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("<s>", "</s>", "<pad>")])
    template = CHATML.replace("<|im_start|>", "<s>").replace("<|im_end|>", "</s>")
    return Tokenizer(core, bos="<s>", eos="</s>", pad="<pad>", chat_template=template)


def train_byte_bpe(
    texts: Iterable[str],
    vocabulary_size: int,
    *,
    special_tokens: Sequence[str] = CHAT_TOKENS,
) -> Tokenizer:
    """Byte-pair encoding over bytes (Sennrich et al. 2016, algorithm 1; over bytes: Radford et al. 2019, section 2.2).

    Words are cut by GPT-2's pattern, pairs seen once are not merged, special tokens come first in
    the vocabulary and are never part of a merge. `encode` adds nothing. With ChatML's tokens among
    the special ones the tokenizer has the ChatML template.
    """
    smallest = 256 + len(special_tokens)
    if vocabulary_size < smallest:
        raise UserError("the vocabulary is too small for bytes", expected=f"{smallest} or more", got=vocabulary_size)
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    document = END_OF_TEXT if END_OF_TEXT in special_tokens else None
    chat = {"<|im_start|>", "<|im_end|>"} <= set(special_tokens)
    named = {name: token for name, token in _NAMED.items() if token in special_tokens}
    template = CHATML if chat else None
    return Tokenizer(core, bos=document, eos=document, pad=document, chat_template=template, extra=named)
