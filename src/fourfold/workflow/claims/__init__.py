"""Claims: statements of the survey as experiments with a rule fixed beforehand."""

from fourfold.workflow.claims.catalogue import claim_names, find_claim, read_claim
from fourfold.workflow.claims.listing import CHAPTERS, IndexEntry, claim_index
from fourfold.workflow.claims.register import index_page, register
from fourfold.workflow.claims.running import run_claim
from fourfold.workflow.claims.spec import Claim, Size

__all__ = [
    "CHAPTERS",
    "Claim",
    "IndexEntry",
    "Size",
    "claim_index",
    "claim_names",
    "find_claim",
    "index_page",
    "read_claim",
    "register",
    "run_claim",
]
