"""What a language model is: four generations behind three protocols."""

from fourfold.models.axes import with_axes
from fourfold.models.linear import Linear, LowRankDelta, hold, is_packed, make_dense, places_to_pack, project
from fourfold.models.packed import Packed, PackedEmbedding, settle
from fourfold.models.protocols import (
    CausalLM,
    DirectScorer,
    Encoder,
    JoinableState,
    LabelScorer,
    Routing,
    State,
    Step,
    Trace,
    WordVectors,
    positions_of,
)
from fourfold.models.recurrent import RecurrentConfig, RecurrentLM
from fourfold.models.registry import (
    FAMILIES,
    Config,
    Recurrent,
    build_model,
    count_parameters,
    make_module,
    model_config,
    parameter_count,
)
from fourfold.models.transformer import EncoderDecoder, EncoderDecoderConfig, TransformerConfig, TransformerLM
from fourfold.models.vocabulary import widen_vocabulary

__all__ = [
    "FAMILIES",
    "CausalLM",
    "Config",
    "DirectScorer",
    "Encoder",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "JoinableState",
    "LabelScorer",
    "Linear",
    "LowRankDelta",
    "Packed",
    "PackedEmbedding",
    "Recurrent",
    "RecurrentConfig",
    "RecurrentLM",
    "Routing",
    "State",
    "Step",
    "Trace",
    "TransformerConfig",
    "TransformerLM",
    "WordVectors",
    "build_model",
    "count_parameters",
    "hold",
    "is_packed",
    "make_dense",
    "make_module",
    "model_config",
    "parameter_count",
    "places_to_pack",
    "positions_of",
    "project",
    "settle",
    "widen_vocabulary",
    "with_axes",
]
