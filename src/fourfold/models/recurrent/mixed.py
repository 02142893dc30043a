"""One LSTM layer whose matrix products are in bf16: what `torch.nn.LSTM` under autocast computes, in less time.

torch runs each step's products by themselves, and one by one again for the gradient. Here the inputs of all steps are
multiplied at once, and so are both weight gradients; only the product with the state before stays in the loop.
The memory and the nonlinearities are in fp32.

Letters: T steps, B rows, D hidden size; gates in torch's order: input, forget, cell, output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def mixed_lstm(cells: nn.LSTM, x: Tensor, memory: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(B, T, D) inputs to (B, T, D) outputs in bf16 and the (L, B, D) memories after them in fp32."""
    rows, size = x.shape[0], cells.hidden_size
    empty = x.new_zeros(cells.num_layers, rows, size, dtype=torch.float32)
    hidden, cell = memory or (empty, empty)
    steps, ends = x.transpose(0, 1), []
    for layer in range(cells.num_layers):
        if layer:
            steps = nn.functional.dropout(steps, cells.dropout, cells.training)
        weights = (getattr(cells, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        steps, *end = _MixedLayer.apply(steps, hidden[layer], cell[layer], *weights)  # type: ignore[no-untyped-call]  # torch's apply has no types
        ends.append(end)
    return steps.transpose(0, 1), (torch.stack([end[0] for end in ends]), torch.stack([end[1] for end in ends]))


def products_in_bf16(x: Tensor) -> bool:
    """Whether the caller's autocast asks for bf16 on this device."""
    device = x.device.type
    return device == "cpu" and torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16


class _MixedLayer(torch.autograd.Function):
    """(T, B, D) inputs, (B, D) memories and torch's four weights to (T, B, D) outputs and (B, D) memories."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, hidden: Tensor, cell: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, rows, _ = x.shape
        x, w_x, w_h = x.bfloat16(), w_x.bfloat16(), w_h.bfloat16()
        gates = torch.addmm((b_x + b_h).bfloat16(), x.flatten(0, 1), w_x.T).view(steps, rows, -1)
        size = w_h.shape[1]
        outputs, cells = x.new_empty(steps + 1, rows, size), cell.new_empty(steps + 1, rows, size)
        opened = cell.new_empty(steps, rows, 4 * size)  # after their nonlinearity
        tanhs = cell.new_empty(steps, rows, size)
        outputs[0], cells[0] = hidden, cell
        turned = w_h.T.contiguous()
        for t in range(steps):
            now = opened[t]
            now.copy_(torch.addmm(gates[t], outputs[t], turned))
            now[:, : 2 * size].sigmoid_()
            now[:, 2 * size : 3 * size].tanh_()
            now[:, 3 * size :].sigmoid_()
            gate_in, forget, new, out = now.chunk(4, dim=1)
            torch.addcmul(gate_in * new, forget, cells[t], out=cells[t + 1])
            torch.tanh(cells[t + 1], out=tanhs[t])
            hidden = out * tanhs[t]
            outputs[t + 1] = hidden
        ctx.save_for_backward(x, w_x, w_h, outputs, cells, opened, tanhs)
        return outputs[1:].clone(), hidden, cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_outputs: Tensor, to_hidden: Tensor, to_cell: Tensor) -> tuple[Tensor | None, ...]:
        x, w_x, w_h, outputs, cells, opened, tanhs = ctx.saved_tensors
        steps, rows, size = tanhs.shape
        gate_in, forget, new, out = opened.chunk(4, dim=2)
        # What each gate passes on of its error, but for the error itself; the last of a cell's own.
        by_cell = torch.cat(
            (new * gate_in * (1 - gate_in), cells[:-1] * forget * (1 - forget), gate_in * (1 - new * new)), dim=2
        ).view(steps, rows, 3, size)
        by_hidden, to_cells = tanhs * out * (1 - out), out * (1 - tanhs * tanhs)
        errors = x.new_empty(steps, rows, 4, size)
        from_later = to_hidden.float()
        for t in reversed(range(steps)):
            error = from_later + to_outputs[t]
            to_cell = torch.addcmul(to_cell, error, to_cells[t])
            torch.mul(by_cell[t], to_cell[:, None], out=by_cell[t])
            errors[t, :, :3] = by_cell[t]
            errors[t, :, 3] = error * by_hidden[t]
            to_cell = to_cell * forget[t]
            from_later = (errors[t].flatten(1) @ w_h).float()
        flat = errors.view(steps * rows, 4 * size)
        to_x = (flat @ w_x).view(steps, rows, -1) if ctx.needs_input_grad[0] else None
        to_bias = flat.sum(0, dtype=torch.float32)
        return (
            to_x, from_later, to_cell, (flat.T @ x.flatten(0, 1)).float(),
            (flat.T @ outputs[:-1].flatten(0, 1)).float(), to_bias, to_bias,
        )  # fmt: skip
