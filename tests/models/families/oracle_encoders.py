"""The shapes of encoder and encoder-decoder families that `test_encoder_oracles.py` proves and the docs list."""

from __future__ import annotations

from typing import Any

from oracle import VOCABULARY, Case

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
TASKS = {
    "AutoModelForSequenceClassification": ("classifier of texts", {"num_labels": 3}),
    "AutoModelForTokenClassification": ("classifier of tokens", {"num_labels": 5}),
    "AutoModelForQuestionAnswering": ("spans", {}),
}


def tasks(family: str, config: str, keys: dict[str, Any]) -> list[Case]:
    """The three task heads every encoder family has."""
    return [
        Case(family=family, label=label, config=config, keys={**keys, **more}, auto=auto)
        for auto, (label, more) in TASKS.items()
    ]


BERT = [
    Case(family="bert", label="encoder with pooler", config="BertConfig", keys=SMALL, auto="AutoModel",
         old={"architectures": ["BertModel"], "dtype": None, "torch_dtype": "float32", "hidden_act": None,
              "layer_norm_eps": None, "tie_word_embeddings": None, "type_vocab_size": None}),
    Case(family="bert", label="masked head", config="BertConfig", keys=SMALL, auto="AutoModelForMaskedLM"),
    Case(family="bert", label="masked head, tanh gelu", config="BertConfig",
         keys=SMALL | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5}, auto="AutoModelForMaskedLM"),
    Case(family="bert", label="masked head and next sentence", config="BertConfig", keys=SMALL,
         auto="AutoModelForPreTraining"),
    *tasks("bert", "BertConfig", SMALL),
]  # fmt: skip

ROBERTA_KEYS = SMALL | {"pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": 66}
ROBERTA = [
    Case(family="roberta", label="encoder with pooler", config="RobertaConfig", keys=ROBERTA_KEYS, auto="AutoModel"),
    Case(family="roberta", label="masked head", config="RobertaConfig", keys=ROBERTA_KEYS, auto="AutoModelForMaskedLM"),
    *tasks("roberta", "RobertaConfig", ROBERTA_KEYS),
]

DISTIL_KEYS = {"vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48,
               "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip
DISTILBERT = [
    Case(family="distilbert", label="encoder", config="DistilBertConfig", keys=DISTIL_KEYS, auto="AutoModel"),
    Case(family="distilbert", label="masked head", config="DistilBertConfig", keys=DISTIL_KEYS,
         auto="AutoModelForMaskedLM"),
    *tasks("distilbert", "DistilBertConfig", DISTIL_KEYS),
]  # fmt: skip

ELECTRA_KEYS = SMALL | {"embedding_size": 16}
ELECTRA = [
    Case(family="electra", label="encoder, narrow embeddings", config="ElectraConfig", keys=ELECTRA_KEYS,
         auto="AutoModel"),
    Case(family="electra", label="generator", config="ElectraConfig", keys=ELECTRA_KEYS, auto="AutoModelForMaskedLM"),
    Case(family="electra", label="discriminator", config="ElectraConfig", keys=ELECTRA_KEYS,
         auto="AutoModelForPreTraining"),
    Case(family="electra", label="discriminator, full embeddings", config="ElectraConfig",
         keys=SMALL | {"embedding_size": 32}, auto="AutoModelForPreTraining"),
    *tasks("electra", "ElectraConfig", ELECTRA_KEYS),
]  # fmt: skip

ENCODERS = [*BERT, *ROBERTA, *DISTILBERT, *ELECTRA]

SEQUENCE = "AutoModelForSeq2SeqLM"
BART_KEYS = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40, "max_position_embeddings": 64,
    "forced_eos_token_id": None,
}  # fmt: skip
BART = [
    Case(family="bart", label="unequal sides", config="BartConfig", keys=BART_KEYS, auto=SEQUENCE),
    Case(family="bart", label="scaled embeddings", config="BartConfig", auto=SEQUENCE,
         keys=BART_KEYS | {"scale_embedding": True, "activation_function": "relu", "decoder_layers": 2},
         old={"normalize_before": False, "add_final_layer_norm": False, "normalize_embedding": True,
              "static_position_embeddings": False, "extra_pos_embeddings": 2, "tie_word_embeddings": None}),
]  # fmt: skip

T5_KEYS = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3,
    "num_heads": 4, "relative_attention_num_buckets": 16, "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
}  # fmt: skip
GATED = T5_KEYS | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
T5 = [
    Case(family="t5", label="relu, scaled tied head", config="T5Config", keys=T5_KEYS, auto=SEQUENCE,
         old={"tie_word_embeddings": None, "scale_decoder_outputs": None, "n_positions": 512,
              "feed_forward_proj": None, "dense_act_fn": None, "is_gated_act": None}),
    Case(family="t5", label="gated gelu, unscaled (1.1, Flan)", config="T5Config", keys=GATED, auto=SEQUENCE),
    Case(family="t5", label="gated silu", config="T5Config", keys=GATED | {"feed_forward_proj": "gated-silu"},
         auto=SEQUENCE),
]  # fmt: skip

MT5 = [Case(family="mt5", label="gated gelu", config="MT5Config", keys=T5_KEYS, auto=SEQUENCE)]

SEQUENCE_MODELS = [*BART, *T5, *MT5]
