"""Conversations: equal to `transformers`, closed to injected control tokens, exact masks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Core

from fourfold.errors import UserError
from fourfold.tokenizers import Tokenizer, byte_tokenizer, train_byte_bpe

TRAINED = train_byte_bpe(["user assistant system hello there\n\n how are you? I am fine " * 30], 330)
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello there"},
    {"role": "assistant", "content": " I am fine \n"},
    {"role": "user", "content": "\n\nhow are you?"},
    {"role": "assistant", "content": "fine 你好"},
]
TEMPLATES = {
    "chatml": None,
    "generation": "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content | trim }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "json": "{{ bos_token }}{% for m in messages %}{{ m | tojson }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}{% endif %}",
}
PIECES = ["<|im_end|>", "<|im_", "start|>", "<", "\n", " ", "<|endoftext|>"]
contents = st.lists(
    st.one_of(st.text(max_size=12), st.sampled_from(PIECES)),
    max_size=4,
).map("".join)


def with_template(template: str | None) -> Tokenizer:
    return Tokenizer(
        TRAINED.core_copy(), bos="<|endoftext|>", eos="<|endoftext|>", chat_template=template or TRAINED.chat_template
    )


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("prompt", [True, False])
def test_ids_are_those_of_transformers(template: str | None, prompt: bool, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = with_template(template)
    ours.save(tmp_path)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(CHAT, add_generation_prompt=prompt, return_dict=False)
    assert ours.encode_chat(CHAT, generation_prompt=prompt) == expected
    assert ours.render_chat(CHAT, generation_prompt=prompt) == theirs.apply_chat_template(
        CHAT, add_generation_prompt=prompt, tokenize=False
    )


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), contents), min_size=1, max_size=4))
def test_content_never_becomes_control(turns: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": content} for role, content in turns]
    for tokenizer in (TRAINED, byte_tokenizer()):
        ids = tokenizer.encode_chat(messages)
        control = [id for id in ids if id in tokenizer.special_ids]
        assert len(control) == 2 * len(messages) + 1
        assert tokenizer.decode(ids, skip_special=False) == tokenizer.render_chat(messages)


def test_pieces_of_two_messages_do_not_join_into_a_control_token() -> None:
    tokenizer = with_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    messages = [{"role": "user", "content": "a<|im_"}, {"role": "user", "content": "end|>"}]
    ids = tokenizer.encode_chat(messages)
    assert not tokenizer.special_ids.intersection(ids)
    assert tokenizer.decode(ids) == "a<|im_end|>"


def test_roles_may_be_part_of_control_tokens() -> None:
    tokenizer = with_template("{% for m in messages %}<|im_{{ m.role }}|>{{ m.content }}{% endfor %}")
    ids = tokenizer.encode_chat([{"role": "start", "content": "x<|im_end|>"}])
    assert [id in tokenizer.special_ids for id in ids] == [True] + [False] * (len(ids) - 1)


def test_private_use_characters_in_content_survive() -> None:
    text = "\U000f0000<|im_end|>\U000f0001"
    assert text in TRAINED.decode(TRAINED.encode_chat([{"role": "user", "content": text}]), skip_special=False)


def written(tokenizer: Tokenizer, messages: list[dict[str, str]]) -> str:
    ids, mask = tokenizer.encode_chat_with_mask(messages)
    assert ids == tokenizer.encode_chat(messages, generation_prompt=False)
    return tokenizer.decode([id for id, ours in zip(ids, mask, strict=True) if ours], skip_special=False)


def test_the_mask_is_what_the_assistant_wrote() -> None:
    assert written(TRAINED, CHAT) == " I am fine \n<|im_end|>fine 你好<|im_end|>"
    hostile = [*CHAT, {"role": "user", "content": "say <|im_end|>"}, {"role": "assistant", "content": "<|im_end|>!"}]
    assert written(TRAINED, hostile) == " I am fine \n<|im_end|>fine 你好<|im_end|><|im_end|>!<|im_end|>"
    assert written(TRAINED, CHAT[:2]) == ""


def test_the_mask_equals_the_generation_blocks_of_transformers(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = with_template(TEMPLATES["generation"])
    ours.save(tmp_path)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(CHAT, return_assistant_tokens_mask=True, return_dict=True)
    ids, mask = ours.encode_chat_with_mask(CHAT)
    assert ids == expected["input_ids"]
    assert [int(value) for value in mask] == expected["assistant_masks"]


def test_a_template_that_rewrites_earlier_turns_is_named() -> None:
    rewriting = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if loop.last or m.role == 'user' %}{{ m.content }}{% else %}(cut){% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    with pytest.raises(UserError, match="message 2: this chat template rewrites earlier turns"):
        with_template(rewriting).encode_chat_with_mask(CHAT)
    assert written(with_template(rewriting), CHAT[:3]) == " I am fine \n<|im_end|>"


def test_refusals_and_bad_messages_are_one_sentence() -> None:
    with pytest.raises(UserError, match="refuses these messages, got no system"):
        with_template("{{ raise_exception('no system') }}").encode_chat(CHAT)
    with pytest.raises(UserError, match="chat template"):
        TRAINED.encode_chat([{"role": "user"}])
    with pytest.raises(UserError, match="no chat template"):
        train_byte_bpe(["a"], 257, special_tokens=["<s>"]).encode_chat(CHAT)


def test_the_end_of_a_turn_is_found_by_rendering() -> None:
    assert TRAINED.end_of_turn_id == TRAINED.encode_chat(CHAT[:1], generation_prompt=False)[-2]
    assert byte_tokenizer().end_of_turn_id == byte_tokenizer().eos_id


def test_templates_run_in_a_sandbox() -> None:
    with pytest.raises(UserError):
        with_template("{{ messages.__class__.__mro__[1].__subclasses__() }}").encode_chat(CHAT)


def sentencepiece_like() -> Core:
    """A Unigram tokenizer in the manner of LLaMA: a space is put before the first word only."""
    characters = [*sorted(set("abcdefghijklmnopqrstuvwxyz<>/|_ \n")), "▁", "▁hello", "hello", "<unk>"]
    core = Core(models.Unigram([(character, -2.0) for character in characters], unk_id=len(characters) - 1))
    core.normalizer = normalizers.Replace(Regex("  +"), " ")
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    core.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("<s>", "</s>")])
    return core


def test_hidden_pieces_are_encoded_as_if_in_place() -> None:
    template = "<s>{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    tokenizer = Tokenizer(sentencepiece_like(), bos="<s>", eos="</s>", chat_template=template)
    plain = tokenizer.encode_chat([{"role": "user", "content": "hello"}, {"role": "user", "content": "hello"}])
    hostile = tokenizer.encode_chat([{"role": "user", "content": "hello"}, {"role": "user", "content": "hello</s>"}])
    assert hostile[: len(plain) - 1] == plain[:-1]
    assert tokenizer.decode(hostile[len(plain) - 1 : -1]) == "</s>"
