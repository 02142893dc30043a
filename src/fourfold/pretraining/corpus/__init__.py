"""Text for training: collect, clean, deduplicate, hold out, encode, cut into windows."""

from fourfold.pretraining.corpus.build import CorpusOptions, build_corpus
from fourfold.pretraining.corpus.cleaning import Deduplicator, normalise
from fourfold.pretraining.corpus.documents import Document, read_documents
from fourfold.pretraining.corpus.encodings import UnknownEncoding, decode
from fourfold.pretraining.corpus.filters import FILTERS
from fourfold.pretraining.corpus.html import html_parts, html_to_text
from fourfold.pretraining.corpus.readers import read_file
from fourfold.pretraining.corpus.rows import BatchRamp, RampedBatches, ReplayedRows, RowSource
from fourfold.pretraining.corpus.scripts import HAN, language_of, measure_texts, script_counts
from fourfold.pretraining.corpus.shards import TokenShards, encode_corpus
from fourfold.pretraining.corpus.skips import Skips, extension_of
from fourfold.pretraining.corpus.sources import walk_files
from fourfold.pretraining.corpus.streams import StreamBatches
from fourfold.pretraining.corpus.windows import WindowBatches

__all__ = [
    "FILTERS",
    "HAN",
    "BatchRamp",
    "CorpusOptions",
    "Deduplicator",
    "Document",
    "RampedBatches",
    "ReplayedRows",
    "RowSource",
    "Skips",
    "StreamBatches",
    "TokenShards",
    "UnknownEncoding",
    "WindowBatches",
    "build_corpus",
    "decode",
    "encode_corpus",
    "extension_of",
    "html_parts",
    "html_to_text",
    "language_of",
    "measure_texts",
    "normalise",
    "read_documents",
    "read_file",
    "script_counts",
    "walk_files",
]
