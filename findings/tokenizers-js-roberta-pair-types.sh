#!/usr/bin/env bash
# Guess: @huggingface/tokenizers gives the ids and token types of the Rust tokenizers for the same tokenizer.json.
# Seen, @huggingface/tokenizers 0.2.0 beside tokenizers 0.23.3: with RobertaProcessing the ids are equal, but the second text of
# a pair gets type 1; Rust gives 0 throughout, and RoBERTa's table of types has a single row.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q tokenizers==0.23.3
npm install --silent --no-fund --no-audit @huggingface/tokenizers@0.2.0
venv/bin/python - > rust.json <<'PY'
import json
from tokenizers import Tokenizer, models, pre_tokenizers, processors
tokenizer = Tokenizer(models.BPE(vocab={"<s>": 0, "</s>": 1, "a": 2, "b": 3}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
tokenizer.add_special_tokens(["<s>", "</s>"])
tokenizer.save("tokenizer.json")
pair = tokenizer.encode("a", "b")
print(json.dumps({"ids": pair.ids, "types": pair.type_ids}))
PY
cat > js.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { Tokenizer } from '@huggingface/tokenizers';
const tokenizer = new Tokenizer(JSON.parse(readFileSync('tokenizer.json', 'utf8')), {});
const pair = tokenizer.encode('a', { text_pair: 'b', return_token_type_ids: true });
const rust = JSON.parse(readFileSync('rust.json', 'utf8'));
console.log('Rust', JSON.stringify(rust));
console.log('JS  ', JSON.stringify({ ids: pair.ids, types: pair.token_type_ids }));
if (String(pair.ids) !== String(rust.ids)) throw new Error('the ids differ now');
if (String(rust.types) !== '0,0,0,0,0,0') throw new Error('Rust gives other types now');
if (String(pair.token_type_ids) !== '0,0,0,1,1,1') throw new Error('JS gives other types now');
JS
node js.mjs
