#!/usr/bin/env bash
# Guess: a BPE model without an unknown token drops the characters that it does not know, and the offsets of the tokens after
# them stay right.
# Seen: tokenizers 0.23.3 adds up the lengths of the tokens that are left, so the offsets within the word are too low by what
# was dropped: in "xxab" the token "ab" has the place of "xx".
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q tokenizers==0.23.3
venv/bin/python - <<'PY'
import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers

print("tokenizers", tokenizers.__version__)
tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
text = "ab xxab"
encoding = tokenizer.encode(text)
seen = [(token, text[start:end]) for token, (start, end) in zip(encoding.tokens, encoding.offsets)]
print(seen)
assert seen == [("ab", "ab"), ("ab", "xx")]
PY
