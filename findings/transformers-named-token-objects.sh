#!/usr/bin/env bash
# Guess: a special token may be an object ({"content": "[M]", "lstrip": true ...}) in tokenizer_config.json as in special_tokens_map.json,
# so that whoever merges the two files can write what was read.
# Seen, transformers 5.18.0: special_tokens_map.json takes it; tokenizer_config.json without "__type": "AddedToken" in it raises
# "Special token mask_token has to be either str or AddedToken but got: <class 'dict'>".
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 tokenizers==0.23.3
venv/bin/python - <<'PY'
import json, pathlib
from transformers import AutoTokenizer

token = {"content": "[M]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}

def load(file, value):
    folder = pathlib.Path(f"{file}-{len(json.dumps(value))}")
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[M]", "a"]))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (folder / "config.json").write_text('{"model_type": "bert"}')
    content = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
    (folder / file).write_text(json.dumps(content | {"mask_token": value}))
    try:
        return AutoTokenizer.from_pretrained(folder).mask_token
    except Exception as error:
        return f"{type(error).__name__}: {error}"

beside = load("special_tokens_map.json", token)
inside = load("tokenizer_config.json", token)
typed = load("tokenizer_config.json", {"__type": "AddedToken", **token})
print("special_tokens_map.json:", beside)
print("tokenizer_config.json:  ", inside)
print("with __type:            ", typed)
assert beside == typed == "[M]" and inside.startswith("TypeError: Special token mask_token has to be either str or AddedToken")
PY
