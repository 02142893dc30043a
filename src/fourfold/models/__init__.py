"""What a language model is: four generations behind three protocols."""

from fourfold.models.axes import with_axes
from fourfold.models.linear import Linear, LowRankDelta
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
    "make_module",
    "model_config",
    "parameter_count",
    "positions_of",
    "widen_vocabulary",
    "with_axes",
]
