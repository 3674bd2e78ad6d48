#!/usr/bin/env python3
"""Writes test/fixtures/token-rows: rows of token classification in Parquet, as datasets and pyarrow write them.

    python scripts/reference/token_rows.py    (needs datasets and pyarrow)

rows.json holds the rows as datasets reads them from ids.parquet, with the names of the labels.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, List, Value

OUT = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "token-rows"
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ROWS = [
    (["Ada", "Lovelace", "lived", "in", "London", "."], [1, 2, 0, 0, 3, 0]),
    (["Zoë", "👩‍🚀", "saw", "New", "York"], [1, 0, 0, 3, 4]),
    (["nothing", "here"], [0, 0]),
]


def marked(tokens, tags):
    """The text and its entities, whose places count code points, as in Python."""
    entities, start = [], 0
    for token, tag in zip(tokens, tags):
        name = NAMES[tag]
        if name.startswith("B-"):
            entities.append({"start": start, "end": start + len(token), "label": name[2:]})
        elif name != "O":
            entities[-1]["end"] = start + len(token)
        start += len(token) + 1
    return {"text": " ".join(tokens), "entities": entities}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    features = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=NAMES))})
    columns = {"tokens": [tokens for tokens, _ in ROWS], "ner_tags": [tags for _, tags in ROWS]}
    Dataset.from_dict(columns, features=features).to_parquet(OUT / "class-labels.parquet")
    read = Dataset.from_parquet(str(OUT / "class-labels.parquet"))
    names = read.features["ner_tags"].feature.names
    rows = [{"tokens": row["tokens"], "ner_tags": [names[tag] for tag in row["ner_tags"]]} for row in read]
    (OUT / "rows.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    pq.write_table(pa.table(columns), OUT / "ids.parquet")
    pq.write_table(pa.Table.from_pylist(rows), OUT / "strings.parquet")
    spans = [marked(tokens, tags) for tokens, tags in ROWS]
    pq.write_table(pa.Table.from_pylist(spans), OUT / "entities.parquet")


if __name__ == "__main__":
    main()
