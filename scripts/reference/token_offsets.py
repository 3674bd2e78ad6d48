#!/usr/bin/env python3
"""Places of tokens in the text, as Rust `tokenizers` gives them, in UTF-16 units.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/token_offsets.py     # writes test/fixtures/token-offsets.json

The tokenizers and the lines are those of tokenizer-kinds.json, tokenizer-components.json and tokenizer.json beside it. A line's places are
`gap.length` in base 36 for each token, the gap from the end of the token before; null where Rust refuses the text.
test/tokenizer/offsets.ts reads the fixture.
"""

import json
import sys
from itertools import accumulate
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tokenizer import EDGE_CASES, NORMALIZERS, valid
from tokenizer_kinds import AND_BYTES, THE_CHARSMAP, merged

FIXTURES = Path(__file__).resolve().parents[2] / "test" / "fixtures"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    sign, number = ("-", -number) if number < 0 else ("", number)
    text = DIGITS[number % 36]
    while number := number // 36:
        text = DIGITS[number % 36] + text
    return sign + text


def places(tokenizer: Tokenizer, text: str) -> str | None:
    units = [0, *accumulate(2 if ord(character) > 0xFFFF else 1 for character in text)]
    try:
        encoding = tokenizer.encode(text, add_special_tokens=False)
    except Exception:  # noqa: BLE001 -- whatever Rust says
        return None
    done, found = 0, []
    for start, end in encoding.offsets:
        start, end = units[start], units[end]
        found.append(f"{base36(start - done)}.{base36(end - start)}")
        done = end
    return " ".join(found)


def kinds() -> dict[str, list]:
    text = (FIXTURES / "tokenizer-kinds.json").read_text(encoding="utf-8")
    fixture = json.loads(text)
    charsmap = fixture["tokenizers"]["unigram"]["normalizer"]["precompiled_charsmap"]
    fixture = json.loads(text.replace(THE_CHARSMAP, charsmap))
    found = {}
    for name, kind in fixture["kinds"].items():
        tokenizer = Tokenizer.from_str(json.dumps(merged(fixture["tokenizers"][kind["base"]], kind["parts"])))
        found[name] = [places(tokenizer, valid(line)) for line in fixture["lines"]]
    return found


def components() -> dict[str, list]:
    fixture = json.loads((FIXTURES / "tokenizer-components.json").read_text(encoding="utf-8"))
    characters = [token for character in fixture["alphabet"] for token in (character, character + fixture["end"])]
    model = {"type": "BPE", "unk_token": "<unk>", "end_of_word_suffix": fixture["end"], "vocab": {token: id for id, token in enumerate(["<unk>", *characters])}, "merges": []}
    found = {}
    for case in fixture["cases"]:
        settings = case["parts"].get("model", {})
        # Byte fallback with a prefix or suffix counts the bytes of those too, and comes to places outside of the text.
        is_wrong = settings.get("byte_fallback") and (settings.get("continuing_subword_prefix") or settings.get("end_of_word_suffix"))
        if "error" in case or is_wrong:
            continue
        lines = fixture["model_lines" if case["group"] == "model" else "lines"]
        shell = json.loads(Tokenizer(models.BPE()).to_str())
        tokenizer = Tokenizer.from_str(json.dumps(shell | {"model": model} | case["parts"]))
        found[f"{case['group']}: {case['name']}"] = [places(tokenizer, line) for line in lines]
    return found


def word_piece() -> dict[str, list]:
    vocab = json.loads((FIXTURES / "tokenizer.json").read_text(encoding="utf-8"))["vocab"]
    found = {}
    for name, settings in NORMALIZERS.items():
        tokenizer = Tokenizer(models.WordPiece({token: id for id, token in enumerate(vocab)}, unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(**settings), pre_tokenizers.BertPreTokenizer()
        found[name] = [places(tokenizer, valid(text)) for text in EDGE_CASES]
    return found


def main() -> None:
    fixture = {"kinds": kinds(), "components": components(), "wordPiece": word_piece()}
    (FIXTURES / "token-offsets.json").write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{sum(len(lines) for group in fixture.values() for lines in group.values())} lines", file=sys.stderr)


if __name__ == "__main__":
    main()
