"""AdamW whose two moments take a byte a weight each (Dettmers et al. 2022, "8-bit Optimizers").

Values are stored as the nearest of 256 code values times the largest magnitude of their block. The code is
dynamic: most values lie near zero, where it is finest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from fourfold.kernels import MOMENT_BLOCK as BLOCK
from fourfold.kernels import ByteCode, ByteMoment, ByteRates, step_in_bytes, steps_natively

SMALLEST = 4096
"""Parameters with fewer numbers keep moments of 32 bits (section 4)."""
MOMENTS = {"first": True, "second": False}
"""Of AdamW, and which of them have a sign."""


@cache
def dynamic_code(signed: bool) -> Tensor:
    """256 values in rising order from -1 (or 0) to 1: dynamic tree quantization (section 1.3, figure 2).

    Seven decades, each with twice as many evenly spread values as the one below, and 0 and 1.
    """
    values = [0.0, 1.0]
    for exponent in range(7):
        bounds = torch.linspace(0.1, 1, 2 ** (exponent + (0 if signed else 1)) + 1, dtype=torch.float64)
        means = (bounds[:-1] + bounds[1:]) / 2 * 10.0 ** (exponent - 6)
        values += means.tolist() + ((-means).tolist() if signed else [])
    return torch.tensor(sorted(values), dtype=torch.float32)


@cache
def _code(signed: bool) -> ByteCode:
    return ByteCode.of(dynamic_code(signed))


class Packed(NamedTuple):
    """A tensor in bytes."""

    codes: Tensor
    """uint8, as many as there are numbers."""
    scales: Tensor
    """fp32, one a block of 256 numbers."""


def pack(values: Tensor, signed: bool) -> Packed:
    """The nearest codes of a tensor, block by block."""
    _, middles, starts = (part.to(values.device) for part in _code(signed))
    blocks = _blocks(values)
    scales = blocks.abs().amax(1)
    shares = blocks / scales.clamp_min(1e-30)[:, None]
    least = starts[(shares.view(torch.int32) >> 16).bitwise_and_(0xFFFF)]
    codes = least + (middles[least.int()] < shares)
    return Packed(codes.reshape(-1)[: values.numel()], scales)


def unpack(packed: Packed, signed: bool, like: Tensor) -> Tensor:
    """The values again, in fp32, with the shape of `like`."""
    code = dynamic_code(signed).to(packed.codes.device)
    values = _blocks(code[packed.codes.long()]) * packed.scales[:, None]
    return values.reshape(-1)[: like.numel()].reshape(like.shape)


def packed_zeros(like: Tensor, signed: bool) -> Packed:
    """What `pack` makes of as many zeros."""
    zero = int(torch.bucketize(0.0, dynamic_code(signed)))
    codes = torch.full((like.numel(),), zero, dtype=torch.uint8, device=like.device)
    return Packed(codes, torch.zeros(-(-like.numel() // BLOCK), device=like.device))


def _blocks(values: Tensor) -> Tensor:
    """(N, 256) a tensor laid out in blocks, the last filled up with zeros."""
    flat = values.reshape(-1).float()
    return torch.nn.functional.pad(flat, (0, -flat.numel() % BLOCK)).reshape(-1, BLOCK)


@final
class AdamW8bit(Optimizer):
    """AdamW (Loshchilov and Hutter 2019, algorithm 2) with packed moments; the arithmetic of a step is fp32."""

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure here
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad.float(), group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As PyTorch does, which makes every state of the type of its weight: codes become bytes again."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state |= {key: value.to(torch.uint8) for key, value in state.items() if key.endswith("_codes")}

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            self._begin(state, weight)
        state["step"] += 1
        (beta1, beta2), rate = group["betas"], group["lr"]
        correct = 1 - beta1 ** state["step"], 1 - beta2 ** state["step"]
        if "first_codes" in state and steps_natively(weight, gradient):
            rates = ByteRates((beta1, beta2), correct, rate, rate * group["weight_decay"], group["eps"])
            first_bytes, second_bytes = self._bytes(state)
            step_in_bytes(weight, gradient, first_bytes, second_bytes, rates)
            return
        first, second = self._moments(state, weight)
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (second / correct[1]).sqrt_().add_(group["eps"])
        weight.mul_(1 - rate * group["weight_decay"])
        weight.addcdiv_(first.to(weight.dtype), denominator.to(weight.dtype), value=-rate / correct[0])
        self._keep(state, first, second)

    def _begin(self, state: dict[str, Any], weight: Tensor) -> None:
        state["step"] = 0
        for name, signed in MOMENTS.items():
            if weight.numel() < SMALLEST:
                state[name] = torch.zeros_like(weight, dtype=torch.float32)
            else:
                state[f"{name}_codes"], state[f"{name}_scales"] = packed_zeros(weight, signed)

    def _bytes(self, state: dict[str, Any]) -> list[ByteMoment]:
        return [
            ByteMoment(state[f"{name}_codes"], state[f"{name}_scales"], _code(signed))
            for name, signed in MOMENTS.items()
        ]

    def _moments(self, state: dict[str, Any], weight: Tensor) -> list[Tensor]:
        if "first" in state:
            return [state[name] for name in MOMENTS]
        packed = ((Packed(state[f"{name}_codes"], state[f"{name}_scales"]), signed) for name, signed in MOMENTS.items())
        return [unpack(moment, signed, weight) for moment, signed in packed]

    def _keep(self, state: dict[str, Any], *moments: Tensor) -> None:
        if "first" in state:
            return  # changed in place
        for (name, signed), moment in zip(MOMENTS.items(), moments, strict=True):
            state[f"{name}_codes"], state[f"{name}_scales"] = pack(moment, signed)
