"""Fine-tuning on downstream tasks: classification, tagging, extraction of answers, writing from a source."""

from fourfold.adaptation.downstream.answering import answer_records, best_span, make_tuned, task_config
from fourfold.adaptation.downstream.encoding import Row, RowMaker, TaskBatches, put_together, token_at, writes
from fourfold.adaptation.downstream.features import (
    Classifying,
    ElmoFeatures,
    EncoderFeatures,
    FeatureClassifier,
    Features,
    StaticFeatures,
    share_right,
)
from fourfold.adaptation.downstream.made import MADE, MadeTask
from fourfold.adaptation.downstream.records import TASKS, Record, Tag, TaskKind, hold_out, read_task_records
from fourfold.adaptation.downstream.scoring import (
    Answer,
    Score,
    baseline,
    difference,
    interval,
    macro_f1,
    rouge_l,
    score_records,
)

__all__ = [
    "MADE",
    "TASKS",
    "Answer",
    "Classifying",
    "ElmoFeatures",
    "EncoderFeatures",
    "FeatureClassifier",
    "Features",
    "MadeTask",
    "Record",
    "Row",
    "RowMaker",
    "Score",
    "StaticFeatures",
    "Tag",
    "TaskBatches",
    "TaskKind",
    "answer_records",
    "baseline",
    "best_span",
    "difference",
    "hold_out",
    "interval",
    "macro_f1",
    "make_tuned",
    "put_together",
    "read_task_records",
    "rouge_l",
    "score_records",
    "share_right",
    "task_config",
    "token_at",
    "writes",
]
