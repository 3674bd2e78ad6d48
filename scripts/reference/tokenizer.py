#!/usr/bin/env python3
"""Writes test/fixtures/tokenizer.json: what transformers and Rust tokenizers make of the texts in test/tokenizer/tokenizer.ts.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/tokenizer.py [FOLDER]

FOLDER holds data sets and vocabularies (default: ../shared/data beside the repository). Without it the hashes of an
existing fixture stay as they are.
"""

import csv
import gzip
import hashlib
import itertools
import json
import sys
import tempfile
from array import array
from pathlib import Path

from tokenizers import AddedToken, normalizers, pre_tokenizers
from transformers import AutoTokenizer, BertTokenizer

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "test" / "fixtures" / "tokenizer.json"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PLANES = [0, 1, 2, 3, 14]  # the others are unassigned or private use
NORMALIZERS = {
    "uncased": {"lowercase": True, "strip_accents": None, "handle_chinese_chars": True},
    "cased": {"lowercase": False, "strip_accents": None, "handle_chinese_chars": True},
    "accents": {"lowercase": True, "strip_accents": False, "handle_chinese_chars": False},
    "raw": {"lowercase": True, "strip_accents": True, "handle_chinese_chars": True, "clean_text": False},
}
EDGE_CASES = [
    "", " ", "\t\n\r ", "Hello, my dog is cute!", "don't stop... can't won't", "a\x00b\x01c\x7fd\x0be\x0cf",
    "tab\tnew\nline\rreturn", "nbsp\u00a0here\u2003em\u3000wide\u1680ogham\u180emvs", "nel\u0085line\u2028para\u2029end",
    "zero\u200bwidth\u200cnon\u200djoin\ufeffbom\u2060wj", "soft\u00adhyphen", "\ufeffbom first", "bad\ufffdchar\ufffe\uffff",
    "lone \ud800 high", "low \udc00 lone", "x\ud83dy", "\udc00", "👩‍👩‍👧‍👦 family 👍🏽 thumb 🇩🇪 flag", "😀a😀 b", "caf\u00e9 cafe\u0301 CAF\u00c9",
    "\u0301leading mark", "a \u0301b", "Z\u0351\u036b\u0343\u036aA\u0321L\u0322G\u0327O\u0328", "\u00c5ngstr\u00f6m \u212b \u1e9b\u0323 q\u0307\u0323",
    "stra\u00dfe STRASSE \u1e9e", "\u0130stanbul \u0131 \u0049\u0307", "ΟΔΟΣ οδος Σ ΣΑΣ, ΑΣ. ΑΣ", "Ἀθῆναι ᾳ ᾼ ΐ", "Привет, мир! Ё й", "שָׁלוֹם עולם", "السَّلَامُ عَلَيْكُم ١٢٣",
    "漢字とかな カタカナ ｶﾞ", "x中y文z", "x\U00020000y \U0002a6d6 \U0002a700\U0002b740 \U0002f800 \U0002ebf0 \U00030000", "豈\ufa0e\u3400\u4dbf\u4e00\u9fff\u3007", "한국어 각 \u1112\u1161\u11ab", "ภาษาไทย กำ น้ำ", "हिन्दी कि क्षि", "བོད་སྐད་", "ខ្មែរ",
    "ⅷ Ⅷ ㎏ ﬁ ﬀ ½ ² ₂", "ｆｕｌｌ ＷＩＤＴＨ！？", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝐀", "«guillemets» “quotes” ‘single’ … — – ‐ ‑", "¿qué? ¡no!", "\u037e ; \u1fef ` \u2000", "a+b=c $5 ^ ~ | < > € £ ¢ ° © §", "_under_score_ #hash @at", "a.b.c http://www.example.com/a?b=c&d=e%20f#g",
    "1,234.56 1e-5 0x1F", "\ue000private\uf8ff \U000f0000 \U0010ffff", "\u0378unassigned \U000e0001tag\U000e0041 \ufe0fvs\U000e0100", "\u061c\u200e\u200f\u202a\u2066bidi\u2069", "\u110bd\U000110bd\U000110cd \u0600\u08e2\u0890", "\u2e43\u2e52\u061d\U0001144b\U00011a3f new punctuation", "\u1734\U0001171e\u08d3\u0c04 marks", "\U000105c9\U00011938\U00016d68 \u0344\u0958",
    "w" * 99, "w" * 100, "w" * 101, "é" * 100, "é" * 101, "😀" * 100, "😀" * 101, "中" * 120, "w" * 50 + "-" + "w" * 60,
    "[CLS] text [SEP]", "a[MASK]b", "[mask] [Mask] [ MASK ]", "[MASK][MASK]", "[UNK][PAD]", "[CLS", "##s a##s ## #", "[unused1]", "foobar FOO foo", "xfoox Foo\u0301", "<Ent> a<Ent>b <ent> (<Ent>) _<Ent>", "I love New York a lot", "new york", "new\u00a0york newyork", "constructor __proto__ toString hasOwnProperty",
    "   many    spaces   ", "\x1c\x1d\x1e\x1f separators", "a\u0000\u0000b", "I\u2019m \u201chere\u201d", "œuvre Æsir Øre ñandú", "Ǆ ǅ ǆ Ǳ ȸ", "ß\u0301 ŉ", "\u03f4 \u1e9e \u2126 \u212a", "ａ\u3099\u309a", "\u0e33\u0eb3", "\u0dca\u0dcf \u0b4b", "\u1100\u1161\u11a8가\u11a8",
]
WORDS = ["hello", "dog", "##gs", "the", "is", "new", "york", "##bar", "stop", "cafe", "##s", "οδος", "##σα", "istanbul", "__proto__", "constructor", "[unused1]", "strasse", "ab", "##cd", "ww", "##www"]


def valid(text: str) -> str:
    """A lone surrogate cannot reach Rust; everything that reads the text as bytes sees U+FFFD."""
    return "".join("\ufffd" if 0xD800 <= ord(character) < 0xE000 else character for character in text)


def bert_normalizer(settings: dict) -> normalizers.BertNormalizer:
    return normalizers.BertNormalizer(**({"clean_text": True} | settings))


def vocabulary() -> list[str]:
    """Made up: every character that survives some normalizer, alone and as a continuation, and a few words."""
    characters = set()
    for settings in NORMALIZERS.values():
        normalizer = bert_normalizer(settings)
        for text in EDGE_CASES:
            characters.update(normalizer.normalize_str(valid(text)))
    visible = [c for c in sorted(characters) if not c.isspace() and c != "\ufffd" and c not in "\U0001f600🇩\u2e43"]
    return SPECIALS + WORDS + visible + ["##" + c for c in visible]


def word_hashes() -> dict[str, dict[int, str]]:
    """By plane, over the words of `ab?cd ?` for each code point: normalizer and word splitter, without a vocabulary."""
    split = pre_tokenizers.BertPreTokenizer()
    hashes: dict[str, dict[int, str]] = {}
    for name, settings in NORMALIZERS.items():
        normalizer = bert_normalizer(settings)
        hashes[name] = {}
        for plane in PLANES:
            sha = hashlib.sha256()
            for code in range(plane << 16, (plane + 1) << 16):
                if 0xD800 <= code < 0xE000:
                    continue
                text = normalizer.normalize_str(f"ab{chr(code)}cd {chr(code)}")
                sha.update(("\0".join(word for word, _ in split.pre_tokenize_str(text)) + "\n").encode())
            hashes[name][plane] = sha.hexdigest()
    return hashes


def tokenizer_with(vocab: list[str], settings: dict) -> BertTokenizer:
    return BertTokenizer(
        vocab={token: index for index, token in enumerate(vocab)},
        do_lower_case=settings["lowercase"],
        strip_accents=settings["strip_accents"],
        tokenize_chinese_chars=settings["handle_chinese_chars"],
    )


def with_added_tokens(vocab: list[str]) -> BertTokenizer:
    tokenizer = tokenizer_with(vocab, NORMALIZERS["uncased"])
    tokenizer.add_tokens([AddedToken("foo", normalized=True), AddedToken("<Ent>", single_word=True, normalized=False)])
    return tokenizer


def with_spaced_token(vocab: list[str]) -> BertTokenizer:
    tokenizer = with_added_tokens(vocab)
    tokenizer.add_tokens([AddedToken("New York", normalized=True)])
    return tokenizer


def edge_cases(vocab: list[str]) -> dict:
    tokenizers = {
        **{name: tokenizer_with(vocab, settings) for name, settings in NORMALIZERS.items() if name != "raw"},
        "added": with_added_tokens(vocab),
        "spaced": with_spaced_token(vocab),
    }
    return {
        name: {
            "added_tokens": json.loads(tokenizer._tokenizer.to_str())["added_tokens"],
            "ids": [tokenizer(valid(text))["input_ids"] for text in EDGE_CASES],
        }
        for name, tokenizer in tokenizers.items()
    }


def truncated(vocab: list[str]) -> list[dict]:
    tokenizer = tokenizer_with(vocab, NORMALIZERS["uncased"])
    cases = []
    for first, second in itertools.product([0, 1, 2, 5, 9, 10], [None, 0, 1, 4, 5, 9, 12]):
        for max_length in (3, 4, 5, 8, 9, 12, 13, 20):
            for side in ("right", "left"):
                tokenizer.truncation_side = side
                text, pair = "dog is " * (first // 2) + "the" * (first % 2), None if second is None else "new york " * second
                # As a list, since outside of lists transformers takes an empty second text for none.
                batch = tokenizer([text], None if pair is None else [pair], truncation=True, max_length=max_length)
                encoded = {key: value[0] for key, value in batch.items()}
                cases.append({"text": text, "pair": pair, "max_length": max_length, "side": side,
                              "ids": encoded["input_ids"], "type_ids": encoded["token_type_ids"]})  # fmt: skip
    return cases


def decoded(vocab: list[str]) -> list[dict]:
    tokenizer = tokenizer_with(vocab, NORMALIZERS["uncased"])
    texts = ["hello, dog! don't stop.", "is it 's new york?", "hellobar dogs", "a[MASK]b", "中文 dog", ""]
    encoded = [tokenizer(text)["input_ids"] for text in texts]
    return [
        {"ids": ids, "skip": skip, "text": tokenizer.decode(ids, skip_special_tokens=skip)}
        for ids in encoded
        for skip in (True, False)
    ]


def saved() -> list[dict]:
    """From vocab.txt and a config, as older models come, to the files that transformers writes."""
    vocab = [*SPECIALS, "1", "0", "dog", "##s", "中", '"', "<s>", "<x>"]
    configs = [
        {},
        {"do_lower_case": False, "model_max_length": 512, "tokenizer_class": "BertTokenizer"},
        {"strip_accents": False, "tokenize_chinese_chars": False, "cls_token": "<s>", "sep_token": {"content": "<x>", "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True, "__type": "AddedToken"}},
        {"mask_token": "[NEW]", "extra_special_tokens": ["<extra>"]},
    ]  # fmt: skip
    cases = []
    for config in configs:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "source"), Path(folder, "target")
            source.mkdir()
            (source / "vocab.txt").write_text("".join(f"{token}\n" for token in vocab), encoding="utf-8")
            (source / "tokenizer_config.json").write_text(json.dumps(config))
            (source / "config.json").write_text('{"model_type": "bert"}')
            AutoTokenizer.from_pretrained(source).save_pretrained(target)
            cases.append({
                "config": config,
                "tokenizer.json": (target / "tokenizer.json").read_text(encoding="utf-8"),
                "tokenizer_config.json": (target / "tokenizer_config.json").read_text(encoding="utf-8"),
            })  # fmt: skip
    return [{"vocab": vocab, **case} for case in cases]


def texts_of(file: Path) -> list[tuple[str, str | None]]:
    opened = gzip.open(file, "rt", encoding="utf-8", newline="") if file.suffix == ".gz" else file.open(encoding="utf-8", newline="")
    with opened as stream:
        rows = csv.DictReader(stream)
        return [(row["text_a"], row["text_b"]) if "text_a" in row else (row["text"], None) for row in rows]


def shared_hashes(folder: Path) -> dict[str, dict[str, str]]:
    """sha256 over the int32 ids, then the type ids of pairs, of every row: whole, and cut at 64 tokens."""
    files = sorted([*folder.glob("*/*.csv"), *folder.glob("*/*.csv.gz")])
    hashes: dict[str, dict[str, str]] = {}
    for vocab_file in sorted(folder.glob("vocab/*.txt")):
        tokenizer = BertTokenizer(vocab=str(vocab_file), do_lower_case="uncased" in vocab_file.name)
        hashes[vocab_file.name] = {}
        for file in files:
            rows = texts_of(file)
            first = [row[0] for row in rows]
            second = None if rows[0][1] is None else [row[1] for row in rows]
            sha = hashlib.sha256()
            for options in ({}, {"truncation": True, "max_length": 64}):
                encoded = tokenizer(first, second, **options)
                for index, ids in enumerate(encoded["input_ids"]):
                    sha.update(array("i", ids).tobytes())
                    if second is not None:
                        sha.update(array("i", encoded["token_type_ids"][index]).tobytes())
            hashes[vocab_file.name][str(file.relative_to(folder))] = sha.hexdigest()
    return hashes


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"
    vocab = vocabulary()
    fixture = {
        "normalizers": NORMALIZERS,
        "vocab": vocab,
        "texts": EDGE_CASES,
        "words": word_hashes(),
        "edge_cases": edge_cases(vocab),
        "truncated": truncated(vocab),
        "decoded": decoded(vocab),
        "saved": saved(),
        "shared": shared_hashes(folder) if folder.is_dir() else json.loads(FIXTURE.read_text())["shared"],
    }
    entries = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in fixture.items())
    FIXTURE.write_text(f"{{\n{entries}\n}}\n")


if __name__ == "__main__":
    main()
