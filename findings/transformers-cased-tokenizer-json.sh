#!/usr/bin/env bash
# Guess: AutoTokenizer reads tokenizer.json as it stands: one whose normalizer says "lowercase": false keeps capitals.
# Seen, transformers 5.18.0 with tokenizers 0.23.3: beside a config.json of model_type bert, electra or distilbert and without
# do_lower_case in tokenizer_config.json, BertTokenizer takes the vocabulary alone and lower-cases: "A" becomes "a".
# With tokenizer_class PreTrainedTokenizerFast the file counts.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 tokenizers==0.23.3
venv/bin/python - <<'PY'
import json, pathlib
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

vocab = {token: id for id, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "A"])}
cased = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
cased.normalizer = normalizers.BertNormalizer(lowercase=False)
cased.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

def tokens(name, model_type, **config):
    folder = pathlib.Path(name)
    folder.mkdir()
    cased.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return AutoTokenizer.from_pretrained(folder).tokenize("A")

print("Rust", cased.encode("A", add_special_tokens=False).tokens)
found = {model_type: tokens(model_type, model_type) for model_type in ["bert", "electra", "distilbert"]}
stands = tokens("stands", "bert", tokenizer_class="PreTrainedTokenizerFast")
print("AutoTokenizer", found, "PreTrainedTokenizerFast", stands)
assert all(each == ["a"] for each in found.values()) and stands == ["A"]
PY
