"""`python poisoned.py WORDS…`: the command, in which a weight is no number after the fifteenth step."""

from __future__ import annotations

import sys
from itertools import count
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from fourfold.cli import main

steps = count(1)


def poison(optimizer: torch.optim.Optimizer, arguments: Any, keywords: Any) -> None:
    if next(steps) == 15:
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].fill_(float("nan"))


if __name__ == "__main__":
    register_optimizer_step_post_hook(poison)
    main(sys.argv[1:])
