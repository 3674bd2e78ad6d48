#!/usr/bin/env bash
# Guess: a pair of texts goes into an ALBERT in transformers.js as it does in Python, from the same files.
# Seen, transformers 5.18.0 and @huggingface/transformers 4.3.2: in Python AlbertTokenizer gives no token_type_ids, so that the model reads
# zeros; in JavaScript it gives 1 for the second text. A model trained in Python sees types there that it never saw.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0
npm install --silent --no-save @huggingface/transformers@4.3.2
mkdir model
venv/bin/python - <<'PY'
import json, transformers
from transformers import AutoTokenizer

pieces = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "▁a", "▁b"]
kinds = {token: {"id": token, "ids": [pieces.index(token)], "tokens": [token]} for token in ("[CLS]", "[SEP]")}
part = lambda token, kind: {"SpecialToken": {"id": token, "type_id": kind}}
text = lambda name, kind: {"Sequence": {"id": name, "type_id": kind}}
single = [part("[CLS]", 0), text("A", 0), part("[SEP]", 0)]
file = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "decoder": None,
    "added_tokens": [
        {"id": i, "content": pieces[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i in range(5)
    ],
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    "post_processor": {"type": "TemplateProcessing", "single": single, "pair": [*single, text("B", 1), part("[SEP]", 1)], "special_tokens": kinds},
    "model": {"type": "Unigram", "unk_id": 1, "byte_fallback": False, "vocab": [[piece, -1.0] for piece in pieces]},
}
json.dump(file, open("model/tokenizer.json", "w"))
json.dump({"tokenizer_class": "AlbertTokenizer"}, open("model/tokenizer_config.json", "w"))
json.dump({"model_type": "albert"}, open("model/config.json", "w"))
encoded = AutoTokenizer.from_pretrained("model")("a", "b")
print("transformers", transformers.__version__, dict(encoded))
assert "token_type_ids" not in encoded
PY
cat > look.mjs <<'JS'
import { AutoTokenizer, env } from '@huggingface/transformers';
import { strict as assert } from 'node:assert';
env.allowRemoteModels = false;
env.localModelPath = '.';
const tokenizer = await AutoTokenizer.from_pretrained('model');
const { input_ids, token_type_ids } = await tokenizer('a', { text_pair: 'b' });
console.log('@huggingface/transformers', env.version, Array.from(input_ids.data, Number), Array.from(token_type_ids.data, Number));
assert.deepEqual(Array.from(token_type_ids.data, Number), [0, 0, 0, 1, 1]);
JS
node look.mjs
