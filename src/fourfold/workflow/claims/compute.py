"""The compute of a training step, counted while a real one runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fourfold.training import LabelledBatch, causal_language_modelling


def training_flops(module: nn.Module, batch: LabelledBatch) -> float:
    """FLOPs of forward and backward over a batch: matrix products, attention included.

    Attention is counted in full, also the half a causal mask hides. PyTorch's own `FlopCounterMode` hooks
    into modules, which a loss that makes its gradient in the forward pass does not bear.
    """
    # The fused attention of the processor has no formula in the registry; the plain one is made of products that have.
    with sdpa_kernel(SDPBackend.MATH), _Counter() as counter:
        causal_language_modelling()(module, batch)["cross_entropy"].backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
    module.zero_grad(set_to_none=True)
    total: float = counter.total
    return total


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has no types
    """Adds up the formulas PyTorch knows for what is computed inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's class has no types
        self.total = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula: Callable[..., float] | None = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result
