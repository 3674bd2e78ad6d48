#!/usr/bin/env bash
# Guess: text[start:end] of a token's offsets is all that the token was made of, also where a normalizer composes or strips
# accents, so that an entity cut out of the text by its offsets is whole.
# Seen: tokenizers 0.23.3 counts the letter alone. Of a decomposed "cafe + U+0301" the token "café" (NFC, as ModernBERT has it)
# and the token "cafe" (BERT uncased) both end before the accent.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q tokenizers==0.23.3
venv/bin/python - <<'PY'
import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

print("tokenizers", tokenizers.__version__)
text = "cafe\u0301 bar"
for name, normalizer, token in [("NFC", normalizers.NFC(), "caf\u00e9"), ("NFKC", normalizers.NFKC(), "caf\u00e9"), ("BERT uncased", normalizers.BertNormalizer(), "cafe")]:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, token: 1}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizers.WhitespaceSplit()
    encoding = tokenizer.encode(text)
    start, end = encoding.offsets[0]
    print(name, encoding.tokens[0], (start, end), ascii(text[start:end]))
    assert encoding.tokens[0] == token
    assert text[start:end] == "cafe"
PY
