#!/usr/bin/env bash
# Guess: @huggingface/tokenizers applies the charsmap of a "Precompiled" normalizer (XLM-RoBERTa, CamemBERT, ALBERT ...) that stands
# in tokenizer.json, as the Rust tokenizers do.
# Seen, @huggingface/tokenizers 0.2.0 beside tokenizers 0.23.3, with the nmt_nfkc charsmap of sentencepiece 0.2.1: the map is not
# read; a fixed table stands in for it. U+200D, the zero width joiner of Persian and Hindi, stays itself in Rust and becomes a blank in JavaScript.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q tokenizers==0.23.3 sentencepiece==0.2.1 protobuf
npm install --silent --no-fund --no-audit @huggingface/tokenizers@0.2.0
venv/bin/python - > rust.json <<'PY'
import io, json
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers

model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["some words to make a model of", "a few more words"]), model_writer=model, vocab_size=30,
    hard_vocab_limit=False, normalization_rule_name="nmt_nfkc", minloglevel=2)
proto = sentencepiece_model_pb2.ModelProto()
proto.ParseFromString(model.getvalue())
pieces = ["<unk>", "a", "b", " ", "\u200d"]
tokenizer = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0, byte_fallback=False))
tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
tokenizer.save("tokenizer.json")
print(json.dumps(tokenizer.encode("a\u200db").tokens))
PY
cat > js.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { Tokenizer } from '@huggingface/tokenizers';
const tokenizer = new Tokenizer(JSON.parse(readFileSync('tokenizer.json', 'utf8')), {});
const shown = (tokens) => JSON.stringify(tokens).replaceAll('\u200d', '\\u200d');
const rust = shown(JSON.parse(readFileSync('rust.json', 'utf8')));
const js = shown(tokenizer.encode('a\u200db').tokens);
console.log('Rust', rust);
console.log('JS  ', js);
if (rust !== '["a","\\u200d","b"]' || js !== '["a"," ","b"]') throw new Error('this has changed');
JS
node js.mjs
