"""Defects of model folders: each spoils a sound folder in one place."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.workflow.doctor.planting import plant
from tests.workflow.doctor.sound import CONTEXT, edit, edit_tensors, make_folder, tokenizer

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
SETTINGS, GENERATION = "tokenizer_config.json", "generation_config.json"
UP = "model.layers.1.mlp.up_proj.weight"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def shards(folder: Path, lost: str = "") -> None:
    """The weights in two shards and an index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    places = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def rewrite_header(path: Path, change: Any) -> None:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def config(folder: Path, **keys: Any) -> None:
    edit(folder / CONFIG, lambda values: values.update(keys))


def template(folder: Path, change: Any) -> None:
    edit(folder / SETTINGS, lambda values: values.update(chat_template=change(values["chat_template"])))


def starts(folder: Path, *names: str, end: str = "") -> None:
    """The tokenizer puts tokens around every text."""
    around = [{"SpecialToken": {"id": name, "type_id": 0}} for name in names]
    after = [{"SpecialToken": {"id": end, "type_id": 0}}] if end else []
    used = {name: {"id": name, "ids": [0], "tokens": [name]} for name in {*names, *([end] if end else [])}}
    rule = {
        "type": "TemplateProcessing",
        "single": [*around, {"Sequence": {"id": "A", "type_id": 0}}, *after],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": used,
    }
    edit(folder / TOKENIZER, lambda rules: rules.update(post_processor=rule))


# ---- files


@plant("config-missing")
def no_configuration(folder: Path) -> None:
    (folder / CONFIG).unlink()


@plant("weights-missing")
def no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


@plant("weights-pickled")
def only_a_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


@plant("lfs-pointer")
def pointer_in_place_of_the_weights(folder: Path) -> None:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 269060552\n"
    (folder / WEIGHTS).write_text(text)


@plant("download-partial")
def unfinished_download(folder: Path) -> None:
    (folder / "model-00002.safetensors.incomplete").write_bytes(b"half")


@plant("json-broken")
def settings_cut(folder: Path) -> None:
    text = (folder / GENERATION).read_text()
    (folder / GENERATION).write_text(text[: len(text) // 2])


@plant("file-empty")
def empty_file(folder: Path) -> None:
    (folder / GENERATION).write_text("")


@plant("tokenizer-missing")
def no_tokenizer(folder: Path) -> None:
    (folder / TOKENIZER).unlink()


@plant("weights-damaged")
def header_overwritten(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[8:40] = b"\x00" * 32
    (folder / WEIGHTS).write_bytes(data)


@plant("weights-truncated")
def download_cut(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) - 1000])


@plant("weights-trailing")
def something_appended(folder: Path) -> None:
    with (folder / WEIGHTS).open("ab") as stream:
        stream.write(b"\x00" * 10)


@plant("tensor-misplaced")
def shape_and_place_disagree(folder: Path) -> None:
    rewrite_header(folder / WEIGHTS, lambda header: header[UP].update(shape=[7, 7]))


@plant("shard-missing")
def shard_not_there(folder: Path) -> None:
    shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


@plant("index-wrong")
def index_of_another_save(folder: Path) -> None:
    shards(folder)
    first, second = (f"model-{number:05}-of-00002.safetensors" for number in (1, 2))
    strays = [name for name in load_file(folder / second) if "mlp" in name][:2]
    edit(folder / f"{WEIGHTS}.index.json", lambda index: index["weight_map"].update(dict.fromkeys(strays, first)))


@plant("index-broken")
def index_without_a_map(folder: Path) -> None:
    shards(folder)
    (folder / f"{WEIGHTS}.index.json").write_text('{"metadata": {}}')


@plant("shard-unlisted")
def shard_left_over(folder: Path) -> None:
    shards(folder)
    save_file({"a": torch.ones(1)}, folder / "model-00003-of-00003.safetensors")


@plant("hash-differs")
def hash_beside_the_file(folder: Path) -> None:
    right = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / f"{WEIGHTS}.sha256").write_text(f"{right[:-1]}{'0' if right[-1] != '0' else '1'}  {WEIGHTS}\n")


@plant("hash-differs")
def hash_in_a_list(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text(f"{'a' * 64}  {WEIGHTS}\n")


# ---- architecture and numbers


@plant("config-unreadable")
def configuration_without_a_size(folder: Path) -> None:
    edit(folder / CONFIG, lambda values: values.pop("num_hidden_layers") and None)


@plant("family-unknown")
def architecture_nobody_knows(folder: Path) -> None:
    config(folder, model_type="deepthought")


@plant("weights-packed")
def packed_by_another_tool(folder: Path) -> None:
    config(folder, quantization_config={"quant_method": "gptq", "bits": 4})


@plant("tensor-missing")
def tensor_lost(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.pop(UP))


@plant("tensor-unexpected")
def one_layer_too_few_in_the_configuration(folder: Path) -> None:
    config(folder, num_hidden_layers=3)


@plant("tensor-misshaped")
def another_size_in_the_configuration(folder: Path) -> None:
    config(folder, intermediate_size=48)


@plant("vocabulary-size")
def another_vocabulary_in_the_configuration(folder: Path) -> None:
    edit(folder / CONFIG, lambda values: values.update(vocab_size=values["vocab_size"] + 8))


@plant("head-ignored")
def head_of_its_own_but_tied(folder: Path) -> None:
    config(folder, tie_word_embeddings=True)


@plant("head-missing")
def no_head_but_untied(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.pop(HEAD))


@plant("head-copied")
def head_equal_to_the_embedding(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.update({HEAD: tensors[EMBEDDING].clone()}))


@plant("weight-nan")
def one_value_not_a_number(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors[UP][3].fill_(float("nan")))


@plant("weight-zero")
def matrix_of_zeros(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors[UP].zero_())


@plant("weight-constant")
def matrix_of_ones(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors[UP].fill_(1.0))


@plant("weight-outlier")
def flipped_exponent_bit(folder: Path) -> None:
    def flip(tensors: dict[str, torch.Tensor]) -> None:
        tensors[UP].view(torch.int32)[2, 3] ^= 1 << 30

    edit_tensors(folder / WEIGHTS, flip)


@plant("fp16-overflow")
def too_large_for_half(folder: Path) -> None:
    config(folder, dtype="float16")
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors[UP][1, 1].fill_(70_000.0))


@plant("dtype-differs")
def another_type_in_the_configuration(folder: Path) -> None:
    config(folder, dtype="bfloat16")


@plant("dtype-mixed")
def one_matrix_of_another_type(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.update({UP: tensors[UP].half()}))


@plant("fp16-risk", also=("tensor-missing", "tensor-unexpected", "config-unreadable", "tensor-misshaped",
                          "bos-missing", "head-missing"))  # fmt: skip
def half_where_it_is_known_to_overflow(folder: Path) -> None:
    config(folder, dtype="float16", model_type="gemma2")


# ---- vocabulary


@plant("tokenizer-beyond-embedding")
def tokens_added_without_resizing(folder: Path) -> None:
    def add(rules: Any) -> None:
        first = 1 + max(*rules["model"]["vocab"].values(), *(token["id"] for token in rules["added_tokens"]))
        rules["added_tokens"] += [{"id": first + n, "content": f"<tool_{n}>", **ADDED} for n in range(3)]

    edit(folder / TOKENIZER, add)


@plant("tokenizer-too-small")
def tokenizer_of_another_model(folder: Path) -> None:
    make_folder_again = make_folder(folder.parent / "larger")
    size = tokenizer().vocabulary_size
    for path in (folder / WEIGHTS, make_folder_again / WEIGHTS):
        edit_tensors(path, lambda tensors: tensors.update({n: torch.randn(4 * size, 32) for n in (EMBEDDING, HEAD)}))
    config(folder, vocab_size=4 * size)


@plant("id-shared")
def two_tokens_one_id(folder: Path) -> None:
    def share(rules: Any) -> None:
        rules["model"]["vocab"]["þ"] = rules["model"]["vocab"]["ÿ"]

    edit(folder / TOKENIZER, share)


@plant("token-moved")
def files_disagree_about_an_id(folder: Path) -> None:
    decoder = {"7": {"content": "<|im_end|>", **ADDED}}
    edit(folder / SETTINGS, lambda values: values.update(added_tokens_decoder=decoder))


@plant("special-token-absent")
def end_token_not_in_the_vocabulary(folder: Path) -> None:
    edit(folder / SETTINGS, lambda values: values.update(eos_token="<|eot|>"))


@plant("special-token-split", also=("stop-missing", "template-token-split"))
def end_of_turn_is_an_ordinary_token(folder: Path) -> None:
    def forget(rules: Any) -> None:
        rules["added_tokens"] = [token for token in rules["added_tokens"] if token["content"] != "<|im_end|>"]

    edit(folder / TOKENIZER, forget)


@plant("special-id-out-of-range")
def padding_id_beyond_the_vocabulary(folder: Path) -> None:
    config(folder, pad_token_id=32000)


@plant("token-untrained")
def control_tokens_with_zero_rows(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors[EMBEDDING][1:3].zero_())


@plant("token-untrained")
def control_tokens_with_equal_rows(folder: Path) -> None:
    def copy(tensors: dict[str, torch.Tensor]) -> None:
        tensors[EMBEDDING][1] = tensors[EMBEDDING].mean(0)
        tensors[EMBEDDING][2] = tensors[EMBEDDING][1]

    edit_tensors(folder / WEIGHTS, copy)


@plant("rows-untrained")
def added_tokens_nobody_trained(folder: Path) -> None:
    edit(folder / TOKENIZER, lambda rules: rules["added_tokens"].append({"id": 20, "content": "?", **ADDED}) and None)
    edit(folder / TOKENIZER, lambda rules: rules["added_tokens"][-1].update(content=_token(rules, 20)))
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors[EMBEDDING][20].zero_())


def _token(rules: Any, id: int) -> str:
    return next(token for token, number in rules["model"]["vocab"].items() if number == id)


@plant("tokenizer-unreadable")
def merges_of_another_vocabulary(folder: Path) -> None:
    edit(folder / TOKENIZER, lambda rules: rules["model"]["merges"].append(["qq", "zz"]) and None)


# ---- start and end


@plant("bos-twice")
def start_token_twice(folder: Path) -> None:
    starts(folder, "<|endoftext|>", "<|endoftext|>")


@plant("bos-doubled")
def start_token_in_tokenizer_and_template(folder: Path) -> None:
    starts(folder, "<|endoftext|>")
    template(folder, lambda text: "{{ bos_token }}" + text)


@plant("bos-missing")
def start_token_asked_for_but_not_added(folder: Path) -> None:
    edit(folder / SETTINGS, lambda values: values.update(add_bos_token=True))


@plant("eos-added")
def end_token_after_every_prompt(folder: Path) -> None:
    starts(folder, end="<|endoftext|>")


@plant("special-id-differs")
def another_end_token_in_the_configuration(folder: Path) -> None:
    edit(folder / GENERATION, lambda values: values.update(bos_token_id=5))


@plant("stop-missing")
def end_of_turn_does_not_stop(folder: Path) -> None:
    edit(folder / GENERATION, lambda values: values.update(eos_token_id=0))


@plant("pad-is-eos")
def padding_is_the_end_token(folder: Path) -> None:
    edit(folder / SETTINGS, lambda values: values.update(pad_token="<|endoftext|>"))


# ---- template


@plant("template-fails")
def template_with_a_slip(folder: Path) -> None:
    template(folder, lambda text: text.replace("{% endfor %}", "{% endfro %}"))


@plant("template-no-prompt", also=("template-differs",))
def template_without_generation_prompt(folder: Path) -> None:
    template(folder, lambda text: text.partition("{% if add_generation_prompt %}")[0])


@plant("template-prompt-differs", also=("template-differs",))
def prompt_unlike_the_training_text(folder: Path) -> None:
    template(folder, lambda text: text.replace("'<|im_start|>assistant\n'", "'<|im_start|>bot\n'"))


@plant("template-loses-turn", also=("template-prompt-differs", "template-drops-system"))
def template_of_the_last_turn_only(folder: Path) -> None:
    template(folder, lambda text: text.replace("in messages", "in messages[-1:]"))


@plant("template-drops-system")
def system_message_dropped(folder: Path) -> None:
    template(folder, lambda text: text.replace("in messages", "in messages if message['role'] != 'system'"))


@plant("template-refuses-system")
def system_message_refused(folder: Path) -> None:
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    template(folder, lambda text: refusal + text)


@plant("template-rewrites-turns")
def earlier_turns_marked(folder: Path) -> None:
    template(folder, lambda text: "{% if messages | length > 2 %}(long) {% endif %}" + text)


@plant("template-foreign")
def template_of_another_family(folder: Path) -> None:
    text = ("{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}")  # fmt: skip
    template(folder, lambda _: text)


@plant("template-differs")
def template_without_the_line_end(folder: Path) -> None:
    template(folder, lambda text: text.replace("'<|im_end|>' + '\n'", "'<|im_end|>'"))


@plant("template-token-split", also=("template-foreign", "stop-missing"))
def template_tokens_the_tokenizer_does_not_have(folder: Path) -> None:
    text = ("{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\n' + message['content'] + "
            "'<end_of_turn>\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<start_of_turn>assistant\n' }}{% endif %}")  # fmt: skip
    template(folder, lambda _: text)


@plant("template-none")
def no_template(folder: Path) -> None:
    edit(folder / SETTINGS, lambda values: values.pop("chat_template") and None)


# ---- languages, context


@plant("unknown-tokens", also=("tokenizer-too-small", "special-id-differs", "special-token-split"))
def tokenizer_that_does_not_know_english(folder: Path) -> None:
    import tokenizers

    words = {"[UNK]": 0, "河": 1, "<|endoftext|>": 2}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    core.save(str(folder / TOKENIZER))
    (folder / SETTINGS).write_text('{"unk_token": "[UNK]", "eos_token": "<|endoftext|>"}')


@plant("language-unreadable")
def tokenizer_of_english_words(folder: Path) -> None:
    import tokenizers

    letters = {chr(code): code - 31 for code in range(32, 127)}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "\n": 97, **letters}, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    core.save(str(folder / TOKENIZER))
    (folder / SETTINGS).write_text('{"unk_token": "[UNK]"}')


@plant("language-dear")
def vocabulary_learned_from_english(folder: Path) -> None:
    from fourfold.tokenizers import train_byte_bpe
    from fourfold.workflow.doctor.languages import SAMPLES

    english = [text for (name, _), text in SAMPLES.items() if name == "English"]
    train_byte_bpe(english * 10, tokenizer().vocabulary_size).save(folder)
    edit(folder / SETTINGS, lambda values: values.update(pad_token="<|im_end|>"))


def rope(folder: Path, **keys: Any) -> None:
    config(folder, rope_parameters=None, rope_theta=10000.0, rope_scaling=keys)


@plant("rope-context-mismatch")
def factor_and_length_disagree(folder: Path) -> None:
    rope(folder, rope_type="yarn", factor=8.0, original_max_position_embeddings=CONTEXT // 2)


@plant("rope-original-larger")
def lengths_exchanged(folder: Path) -> None:
    rope(folder, rope_type="yarn", factor=2.0, original_max_position_embeddings=2 * CONTEXT)


@plant("rope-factor")
def factor_below_one(folder: Path) -> None:
    rope(folder, rope_type="linear", factor=0.25)


@plant("rope-scaled-short")
def scaling_for_long_texts(folder: Path) -> None:
    rope(folder, rope_type="yarn", factor=2.0, original_max_position_embeddings=CONTEXT // 2)


@plant("tokenizer-exceeds-context", model="gpt2")
def texts_longer_than_the_table(folder: Path) -> None:
    edit(folder / SETTINGS, lambda values: values.update(model_max_length=1024))


@plant("tokenizer-cuts-early")
def texts_cut_before_they_must(folder: Path) -> None:
    edit(folder / SETTINGS, lambda values: values.update(model_max_length=16))
