#!/usr/bin/env python3
"""Writes src/tokenizer/unicode-tables.ts: how the Rust `tokenizers` package sees every code point.

The Rust crates carry Unicode tables of their own (older than Node's, and fixed), so the tables are found by asking
the package about each of the 1,112,064 code points instead of by reading a Unicode file.

    pip install tokenizers==0.23.3
    python scripts/reference/tokenizer_unicode.py

NEWER needs a `node` of a recent Unicode version in the path: it is the difference between that one and the crates.
"""

import json
import subprocess
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

OUTPUT = Path(__file__).parents[2] / "src" / "tokenizer" / "unicode-tables.ts"
OFF = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}


def classes() -> dict[str, list[int]]:
    clean = normalizers.BertNormalizer(**(OFF | {"clean_text": True}))
    chinese = normalizers.BertNormalizer(**(OFF | {"handle_chinese_chars": True}))
    accents = normalizers.BertNormalizer(**(OFF | {"strip_accents": True}))
    words = pre_tokenizers.BertPreTokenizer()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    strip = normalizers.StripAccents()
    whole_words = pre_tokenizers.Whitespace()
    names = ["REMOVED", "SPACE", "CHINESE", "MARK", "PUNCTUATION", "LETTER", "NUMBER", "COMBINING", "WORD"]
    found: dict[str, list[int]] = {name: [] for name in names}
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        text = f"a{character}b"
        if clean.normalize_str(text) == "ab":
            found["REMOVED"].append(code)
        if chinese.normalize_str(text) != text:
            found["CHINESE"].append(code)
        if accents.normalize_str(text) == "ab":
            found["MARK"].append(code)
        pieces = [word for word, _ in words.pre_tokenize_str(text)]
        if pieces == ["a", "b"]:
            found["SPACE"].append(code)
        elif pieces == ["a", character, "b"]:
            found["PUNCTUATION"].append(code)
        if len(byte_level.pre_tokenize_str(f"x{character}x")) == 1:
            found["LETTER"].append(code)
        if len(byte_level.pre_tokenize_str(f"1{character}1")) == 1:
            found["NUMBER"].append(code)
        if len(whole_words.pre_tokenize_str(text)) == 1:
            found["WORD"].append(code)
        if strip.normalize_str(text) == "ab":
            found["COMBINING"].append(code)
    return found | {"NEWER": newer()}


# By code point, what Node makes of it: alone, where marks are sorted, and the first part of what it is composed from.
NORMALIZE = """
const found = [];
for (let code = 0; code < 0x110000; code++) {
  if (code >= 0xd800 && code < 0xe000) continue;
  const character = String.fromCodePoint(code);
  const sorted = [`\u0315${character}`, `${character}\u0334`].some((text) => text.normalize('NFD') !== text);
  const changed = character.normalize('NFKD') !== character;
  if (sorted || changed) found.push([code, sorted, changed, character.normalize('NFD').codePointAt(0)]);
}
console.log(JSON.stringify(found));
"""


def newer() -> list[int]:
    """Characters that Unicode normalization changes, sorts or composes in Node, and that the crates do not know yet."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    rows = json.loads(subprocess.run(["node", "--eval", NORMALIZE], capture_output=True, text=True, check=True).stdout)
    found = set()
    for code, is_sorted, is_changed, first in rows:
        character = chr(code)
        texts = [f"\u0315{character}", f"{character}\u0334"]
        if is_sorted and not is_changed and all(nfd.normalize_str(text) == text for text in texts):
            found.add(code)
        if is_changed and nfkd.normalize_str(character) == character:
            found.add(code)
            # Of these, other characters of the new script: what they compose to is new, too.
            if first > 0xFFFF:
                found.add(first)
    return sorted(found)


def base36(number: int) -> str:
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
        if number == 0:
            return digits


def encode(codes: list[int]) -> str:
    """Ranges as `gap` or `gap+extra` in base 36: the gap since the last range's end, and the length less one."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    parts, end = [], 0
    for first, last in ranges:
        parts.append(base36(first - end) + (f"+{base36(last - first)}" if last > first else ""))
        end = last
    return " ".join(parts)


def wrapped(text: str) -> str:
    lines, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) > 100:
            lines.append(line)
            line = ""
        line += word + " "
    lines.append(line.rstrip())
    return " +\n".join(f"    '{line}'" for line in lines)


def main() -> None:
    entries = "\n".join(f"  {name}:\n{wrapped(encode(codes))}," for name, codes in classes().items())
    OUTPUT.write_text(
        f"// Character classes as the Rust package `tokenizers` {tokenizers.__version__} has them; written by\n"
        "// scripts/reference/tokenizer_unicode.py. Ranges are `gap` or `gap+extra` in base 36.\n\n"
        f"export const UNICODE_TABLES = {{\n{entries}\n}} as const;\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
