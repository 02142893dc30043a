"""What each family has to do beside its peer, counted: no clock, so the same on a busy machine.

    python benchmarks/family_work.py [--families llama,gpt2,…] [--dtype bf16]

For the works of `family_speed.py`: matrix products, and values written by everything that is no product (norms,
rotations, caches, copies). Attention kernels count as one write of their result, on both sides.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
import transformers
from family_speed import DTYPES, FAMILIES, Work, make_pair, works
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = ("linear", "mm", "addmm", "bmm", "baddbmm", "matmul", "_grouped_mm")


class Counting(TorchDispatchMode):
    """Counts the products, and the values that other operators write into memory of their own or in place."""

    def __init__(self) -> None:
        super().__init__()
        self.products = self.written = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **(options or {}))
        if function.__name__.split(".")[0] in PRODUCTS:
            self.products += 1
            return result
        given = {tensor.untyped_storage()._cdata for tensor in tensors_in((arguments, options))}
        for tensor in tensors_in(result):
            if function._schema.is_mutable or tensor.untyped_storage()._cdata not in given:  # no mere view
                self.written += tensor.numel()
        return result


def tensors_in(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def count(work: Work) -> Counting:
    work()
    with Counting() as counting:
        work()
    return counting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    arguments = parser.parse_args()
    transformers.logging.disable_progress_bar()
    for family in arguments.families.split(","):
        pair = make_pair(family, DTYPES[arguments.dtype])
        for name, sides in works(pair).items():
            pair.ours.train(name == "backward"), pair.peer.train(name == "backward")
            ours, theirs = map(count, sides)
            print(f"{family:10} {name:9} products {ours.products:5} against {theirs.products:5}   "
                  f"written {ours.written / 1e6:7.1f} against {theirs.written / 1e6:7.1f} million "
                  f"({ours.written / theirs.written:.2f})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
