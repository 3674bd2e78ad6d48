#!/usr/bin/env bash
# Guess: DPR's tokenizers, "identical to BertTokenizer", keep capitals with "do_lower_case": false, which is even their default.
# Seen, transformers 5.18.0 with tokenizers 0.23.3: they take do_lower_case and do not hand it on, so that BertTokenizer's own
# default counts: "A" becomes "a" either way, while the attribute do_lower_case says False.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 tokenizers==0.23.3
venv/bin/python - <<'PY'
import json, pathlib
from transformers import AutoTokenizer

def loaded(name):
    folder = pathlib.Path(name)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "A"]))
    config = {"tokenizer_class": name, "do_lower_case": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.do_lower_case, tokenizer.tokenize("A")

found = {name: loaded(name) for name in ["BertTokenizer", "DPRQuestionEncoderTokenizer", "DPRContextEncoderTokenizer"]}
print(found)
assert found["BertTokenizer"] == (False, ["A"])
assert found["DPRQuestionEncoderTokenizer"] == found["DPRContextEncoderTokenizer"] == (False, ["a"])
PY
