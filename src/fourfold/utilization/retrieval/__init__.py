"""Retrieval: a folder of documents becomes an index of passages that a question finds."""

from fourfold.utilization.retrieval.index import DocumentIndex, Hit, Method, default_index_folder, open_index
from fourfold.utilization.retrieval.passages import Passage, Splitting
from fourfold.utilization.retrieval.pool import ReaderLimits
from fourfold.utilization.retrieval.report import IndexPlan, IndexReport, Skipped
from fourfold.utilization.retrieval.terms import terms_of
from fourfold.utilization.retrieval.updating import IndexLimits

__all__ = [
    "DocumentIndex",
    "Hit",
    "IndexLimits",
    "IndexPlan",
    "IndexReport",
    "Method",
    "Passage",
    "ReaderLimits",
    "Skipped",
    "Splitting",
    "default_index_folder",
    "open_index",
    "terms_of",
]
