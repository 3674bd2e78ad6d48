"""Writes test/fixtures/hub-datasets.json, which files Python's `datasets` gives to which split of made-up repositories,
and test/fixtures/hub-classlabel.parquet, a file that carries class names as `datasets` writes them.

Usage: python scripts/reference/hub_datasets.py    (datasets 5.2.0; no network)
"""

import json
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import datasets  # noqa: E402

IMDB = """dataset_info:
  config_name: plain_text
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
configs:
- config_name: plain_text
  data_files:
  - split: train
    path: plain_text/train-*
  - split: test
    path: plain_text/test-*
  - split: unsupervised
    path: plain_text/unsupervised-*
  default: true
"""

TWO = """configs:
- config_name: small
  data_files: small/*.csv
- config_name: large
  data_files:
  - split: train
    path: [large/a.csv, "large/[b-c].csv"]
  - split: dev.set
    path: large/sub/**
"""

EMOTIONS = """dataset_info:
- config_name: raw
  features:
  - name: text
    dtype: string
- config_name: simplified
  features:
  - name: text
    dtype: string
  - name: labels
    sequence:
      class_label:
        names:
          '0': joy
          '1': anger
          '2': fear
  - name: kinds
    list:
      dtype:
        class_label:
          names:
            '0': a
            '1': b
configs:
- config_name: raw
  data_files:
  - split: train
    path: raw/train-*
- config_name: simplified
  data_files:
  - split: train
    path: simplified/train-*
  default: true
"""

CASES = [
    ("imdb card", IMDB, [f"plain_text/{s}-00000-of-00001.parquet" for s in ("train", "test", "unsupervised")], None),
    ("several configurations, one named", TWO, ["small/x.csv", "large/a.csv", "large/b.csv", "large/d.csv", "large/sub/e.csv"], "large"),
    ("data_files as one string", TWO, ["small/x.csv", "small/y.csv", "small/in/z.csv", "large/a.csv", "large/sub/e.csv"], "small"),
    ("default: true among several, lists of labels", EMOTIONS, ["raw/train-00000-of-00001.parquet", "simplified/train-00000-of-00001.parquet"], None),
    ("sharded names under data/", None, ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001-abc.parquet", "data/extra_split-00000-of-00001.parquet", "notes/train.csv"], None),
    ("file names", None, ["train.csv", "my-validation.csv", "test_set.csv"], None),
    ("file names, synonyms and separators", None, ["dev.jsonl", "training.jsonl", "the.eval.jsonl", "trainer.jsonl"], None),
    ("folder names", None, ["train/a.csv", "train/b.csv", "x_test_y/deep/c.csv", "valid/d.csv", "train.csv"], None),
    ("no split named", None, ["one.jsonl", "sub/two.jsonl"], None),
    ("hidden and special files are no data", None, [".hidden.csv", ".git/train.csv", "__pycache__/train.csv", "dataset_infos.json", "reviews.csv"], None),
    ("two formats, the more frequent wins", None, ["train.csv", "train.json", "test.json"], None),
    ("two formats, a draw", None, ["train.csv", "train.parquet"], None),
    ("compressed text", None, ["train.csv.gz", "test.csv.gz"], None),
    ("data_dir", "configs:\n- config_name: en\n  data_dir: en\n- config_name: de\n  data_dir: de\n", ["en/train.csv", "en/test.csv", "de/train.csv"], "en"),
    ("one file in two splits", None, ["train_test.csv", "val.csv"], None),
    ("a pattern across folders", "configs:\n- config_name: all\n  data_files: '**/part-?.csv'\n", ["part-1.csv", "a/part-2.csv", "a/b/part-3.csv", "a/part-10.csv"], None),
    ("a number as configuration", "configs:\n- config_name: '2020'\n  data_files: 2020/*.csv\n", ["2020/a.csv"], "2020"),
]


def class_names(features):
    found = {}
    for column, feature in (features or {}).items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.ClassLabel):
            found[column] = inner.names
    return found


def run(name, card, files, config):
    readme = f"---\n{card}---\n# Title\n" if card else "# Title\n"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "repo"
        root.mkdir()
        for path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("{}" if path.endswith(".json") else "text,label\nhello,0\n")
        (root / "README.md").write_text(readme)
        builder = datasets.load_dataset_builder(str(root), name=config, cache_dir=f"{folder}/cache")
        splits = {
            str(split): sorted(os.path.relpath(path, root) for path in paths)
            for split, paths in builder.config.data_files.items()
        }
        return {
            "name": name,
            "readme": readme,
            "files": files,
            "config": config,
            "splits": splits,
            "classNames": class_names(builder.info.features),
        }


fixture = {"generator": f"datasets {datasets.__version__}", "cases": [run(*case) for case in CASES]}
fixtures = Path(__file__).parents[2] / "test/fixtures"
(fixtures / "hub-datasets.json").write_text(json.dumps(fixture, indent=1) + "\n")

labels = datasets.ClassLabel(names=["neg", "pos"])
features = datasets.Features(text=datasets.Value("string"), label=labels, tags=datasets.List(labels))
rows = datasets.Dataset.from_dict({"text": ["x"], "label": [1], "tags": [[0]]}, features=features)
rows.to_parquet(fixtures / "hub-classlabel.parquet")
print(f"{len(CASES)} cases")
