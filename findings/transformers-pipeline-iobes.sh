#!/usr/bin/env bash
# Guess: the token classification pipeline groups entities of any IOB scheme, and takes a label without prefix for a name.
# Seen: transformers 5.18.0 knows B- and I- alone. B-PER E-PER (IOBES, BILOU alike) are two entities of PER, two neighbouring
# S-PER are one, and a label "E-mail" without any prefix is given back as "mail".
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 numpy torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu
venv/bin/python - <<'PY'
from types import SimpleNamespace
import transformers
from transformers.pipelines.token_classification import TokenClassificationPipeline

print("transformers", transformers.__version__)
pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
pipeline.tokenizer = SimpleNamespace(convert_tokens_to_string=" ".join)


def groups(*labels):
    tokens = [{"entity": label, "score": 1.0, "word": "w", "start": 2 * at, "end": 2 * at + 1} for at, label in enumerate(labels)]
    return [(group["entity_group"], group["start"], group["end"]) for group in pipeline.group_entities(tokens)]


seen = [groups("B-PER", "E-PER"), groups("S-PER", "S-PER"), groups("E-mail", "E-mail")]
print(seen)
assert seen == [[("PER", 0, 1), ("PER", 2, 3)], [("PER", 0, 3)], [("mail", 0, 3)]]
PY
