"""Questions with the subject they belong to: a labelled set for `fourfold claim run features-in-context --data`.

    python benchmarks/labelled_subjects.py mmlu/test_quarter_a.jsonl > subjects.jsonl

Reads JSONL with "question" and "subject" (MMLU), keeps the ten largest subjects, and writes "text" and "label".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

SUBJECTS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.questions.read_text("utf-8").splitlines()]
    largest = dict(Counter(row["subject"] for row in rows).most_common(SUBJECTS))
    for row in rows:
        if row["subject"] in largest:
            print(json.dumps({"text": row["question"], "label": row["subject"]}, ensure_ascii=False))
    print(f"{sum(largest.values())} questions of {', '.join(largest)}", file=sys.stderr)


if __name__ == "__main__":
    main()
