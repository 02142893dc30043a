"""What a training or scoring job takes before it is started: parameters, operations, memory, time, money.

`memory` is this machine's, `device_memory` and `Estimate` are of a cluster; `speed` beside this folder times a slice.
"""

from fourfold.pretraining.planning.cluster import Cluster, parse_devices
from fourfold.pretraining.planning.duration import Estimate
from fourfold.pretraining.planning.job import Job, Purpose, flops, flops_per_token, rule_of_six
from fourfold.pretraining.planning.machine import machine_memory
from fourfold.pretraining.planning.memory import PROCESS_BYTES, activation_bytes, memory
from fourfold.pretraining.planning.parallel import in_words, parse_plan
from fourfold.pretraining.planning.published import Comparison, compare_published
from fourfold.pretraining.planning.search import fastest
from fourfold.pretraining.planning.stages import Setup, device_memory
from fourfold.pretraining.planning.states import optimizer_bytes
from fourfold.pretraining.planning.traffic import Shared, communication, held
from fourfold.training import ParallelPlan, Shard

__all__ = [
    "PROCESS_BYTES",
    "Cluster",
    "Comparison",
    "Estimate",
    "Job",
    "ParallelPlan",
    "Purpose",
    "Setup",
    "Shard",
    "Shared",
    "activation_bytes",
    "communication",
    "compare_published",
    "device_memory",
    "fastest",
    "flops",
    "flops_per_token",
    "held",
    "in_words",
    "machine_memory",
    "memory",
    "optimizer_bytes",
    "parse_devices",
    "parse_plan",
    "rule_of_six",
]
