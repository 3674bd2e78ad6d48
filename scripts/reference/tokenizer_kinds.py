#!/usr/bin/env python3
"""Tokenizers of other kinds than BERT's: byte-level BPE and Unigram, as transformers and Rust `tokenizers` have them.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/tokenizer_kinds.py                     # writes test/fixtures/tokenizer-kinds.json
    python scripts/reference/tokenizer_kinds.py --ids FOLDER < IN   # ids of the texts in a JSON list, by AutoTokenizer
    python scripts/reference/tokenizer_kinds.py --train DATA OUT    # tokenizers trained on DATA's texts, and their ids

The fixture's tokenizers are trained on words that this script makes up. test/tokenizer/kinds.ts reads all three.
"""

import base64
import hashlib
import io
import json
import random
import sys
import tempfile
from array import array
from pathlib import Path

import sentencepiece
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AddedToken, AutoTokenizer, RobertaTokenizer

from tokenizer import EDGE_CASES, ROOT, texts_of, valid

FIXTURE = ROOT / "test" / "fixtures" / "tokenizer-kinds.json"
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LINES = [
    "a <mask> b", "a<mask>b", "  <mask>  ", "\u00a0<mask>\u00a0x", "<s>a</s>", "<pad><unk>", "a \r\n b", "a\r\nb", "a\n\n\nb", "a \t b", "\n", "x \u0301y",
    "don't DON'T I'll they've we're 'tis it''s ''", "50000 10000 1000000", "..........", "!!!!!!???", "--------", "``quotes'' and ''more``", "word▁inner ▁ ▁▁x",
    "\ufeffbom \ufeff", "\u0085a\u0085b\u0085 c", "ΣΑΣ ΟΔΥΣΣΕΥΣ", "résumé naïve", "e\u0301\u0323\u0300 o\u0308", "\u061c \u0344 \u200d", "👩\u200d👩\u200d👧 👍🏽", "ﷺ ﬁ ﬂ ㎏", "ａｂｃ１２３",
    "½ ² ① Ⅷ", "１２３ ٣٤ ४५", "\u1e9b\u0323 \u212b", "a\u0300\u0301\u0302 \u0327c", "a\u200cb", "カ\u3099 ｶﾞ", "\u11a8가\u1100", "   three   blanks    four ", "\U00010d50 \ua7f2 \U0001ccd6", "[CLS] [SEP]",
    "Mixed CASE words, punctuation; numbers 12,345.67 and (parens) [brackets] {braces}!", "https://example.com/a/b?c=d&e=f#g user@example.org", "x" * 70, "é" * 70, "😀" * 40, "the end.",
]  # fmt: skip
PAIRS = [("hello world", "a second text"), ("", "b"), ("a", ""), ("one two three four five six", "1"), ("a <mask>", "<mask> b c d e f g h")]
PLANES = [0, 1, 2, 3, 14]


def made_up_text() -> list[str]:
    """Sentences of words from syllables, the more frequent the earlier; with numbers, marks and other scripts between."""
    dice = random.Random(16)
    syllables = [c + v + e for c in "b d f g k l m n p r s t st tr ch th".split() for v in "a e i o u".split() for e in ["", "n", "r", "s"]]
    words = ["".join(dice.choice(syllables) for _ in range(dice.choice([1, 2, 2, 3, 4]))) for _ in range(700)]
    words += "the and of to in is it that was for with on as are this not don't I'll caf\u00e9 na\u00efve stra\u00dfe \u03bf\u03b4\u03bf\u03c2 \u043c\u0438\u0440 \u6f22\u5b57 \u304b\u306a".split()
    weights = [1 / (index + 5) for index in range(len(words))]
    lines = []
    for _ in range(4000):
        line = dice.choices(words, weights, k=dice.randint(3, 14))
        if dice.random() < 0.3:
            line.insert(1, str(dice.randint(0, 99999)))
        if dice.random() < 0.5:
            line[0] = line[0].capitalize()
        lines.append(" ".join(line) + dice.choice([".", "!", "?", "...", ", ", " - ", ' "x"', ""]))
    return lines + [text for text in EDGE_CASES[:60] for _ in range(3)]


def bpe(lines: list[str], size: int, folder: Path) -> dict:
    """A RoBERTa tokenizer, trained in Rust and saved by transformers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([valid(line) for line in lines], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    RobertaTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]], mask_token=mask, model_max_length=512).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "roberta"}')
    return read(folder)


def rules() -> str:
    """A small map as nmt_nfkc has them, as sentencepiece takes it: code points in, code points out."""
    rows: dict[str, str] = {chr(code): " " for code in [0x09, 0x0A, 0x0D, 0xA0, 0x3000, 0x200B, 0xFEFF, 0x85]}
    rows |= {chr(code): "" for code in [0x01, 0x7F, 0xAD, 0x0344]}
    rows |= {chr(0xFF01 + offset): chr(0x21 + offset) for offset in range(94)}
    rows |= {"\ufb01": "fi", "\ufb02": "fl", "\u338f": "kg", "\u00bd": "1\u20442", "\u2026": "...", "\ufdfa": "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647", "\u2126": "\u03a9", "\u212b": "\u00e5"}
    rows |= {base + mark: whole for base, mark, whole in [("e", "\u0301", "\u00e9"), ("o", "\u0308", "\u00f6"), ("a", "\u0300", "\u00e0"), ("\u30ab", "\u3099", "\u30ac"), ("\uff76", "\uff9e", "\u30ac")]}
    rows |= {"\r\n": " "}
    hexadecimal = lambda text: " ".join(f"{ord(character):x}" for character in text)  # noqa: E731
    return "".join(f"{hexadecimal(key)}\t{hexadecimal(value)}\n" for key, value in rows.items())


def spm(lines: list[str], size: int, own_rules: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        tsv, model = Path(folder, "rules.tsv"), io.BytesIO()
        tsv.write_text(rules(), encoding="utf-8")
        normalization = {"normalization_rule_tsv": str(tsv)} if own_rules else {"normalization_rule_name": "nmt_nfkc"}
        sentences = [piece for line in lines for piece in valid(line).replace("\x00", "").splitlines() if piece.strip()]
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, vocab_size=size, model_type="unigram", hard_vocab_limit=False,
            user_defined_symbols=["<ent>"] if own_rules else [], num_threads=1, minloglevel=2, **normalization,
        )  # fmt: skip
        return model.getvalue()


def from_spm(model: bytes, kind: str, folder: Path) -> dict:
    """A folder with a sentencepiece model alone, and beside it what transformers saves of it."""
    for name in (folder, folder / "saved"):
        name.mkdir(parents=True, exist_ok=True)
        (name / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "sentencepiece.bpe.model").write_bytes(model)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder / "saved")
    return read(folder / "saved")


def read(folder: Path) -> dict:
    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))


def added(tokens: list[str], first: int, **settings) -> list[dict]:
    return [
        {"id": first + index, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} | settings
        for index, token in enumerate(tokens)
    ]  # fmt: skip


def template(cls: str, sep: str, ids: tuple[int, int], second_type: int) -> dict:
    token = lambda id, type_id=0: {"SpecialToken": {"id": id, "type_id": type_id}}  # noqa: E731
    text = lambda id, type_id=0: {"Sequence": {"id": id, "type_id": type_id}}  # noqa: E731
    single = [token(cls), text("A"), token(sep)]
    return {
        "type": "TemplateProcessing", "single": single, "pair": [*single, text("B", second_type), token(sep, second_type)],
        "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in zip((cls, sep), ids, strict=True)},
    }  # fmt: skip


LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def variants(bpe_json: dict, unigram_json: dict) -> dict[str, tuple[str, dict]]:
    """What is put in the place of parts of the two tokenizers, for the other kinds that transformers has."""
    size, pieces = len(bpe_json["model"]["vocab"]), unigram_json["model"]["vocab"]
    charsmap = {"type": "Precompiled", "precompiled_charsmap": unigram_json["normalizer"]["precompiled_charsmap"]}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    words = lambda step: {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, step]}  # noqa: E731
    sequence = lambda *steps: {"type": "Sequence", "normalizers": list(steps)}  # noqa: E731
    replace = lambda pattern, content: {"type": "Replace", "pattern": pattern, "content": content}  # noqa: E731
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    blanks = added([" " * n for n in range(24, 1, -1)], size, special=False)
    bert_like = added(["[CLS]", "[SEP]"], size + 23)
    own = bpe_json["added_tokens"]
    return {
        "byte-level, prefix space": ("bpe", {"pre_tokenizer": byte_level | {"add_prefix_space": True}}),
        "modernbert": ("bpe", {"normalizer": {"type": "NFC"}, "added_tokens": [*own, *blanks, *bert_like], "post_processor": template("[CLS]", "[SEP]", (size + 23, size + 24), 0)}),
        "llama": ("bpe", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": LLAMA}, "behavior": "Isolated", "invert": False}, byte_level | {"use_regex": False}]}, "model": {"ignore_merges": True}, "post_processor": {"type": "Sequence", "processors": [byte_level, template("<s>", "</s>", (0, 2), 1)]}}),
        "byte-level, own tokens": ("bpe", {"added_tokens": [*own, *added(["of to", "caf\u00e9"], size, special=False, normalized=True), *added(["the"], size + 2, single_word=True, rstrip=True)]}),
        "metaspace never": ("unigram", {"pre_tokenizer": words(metaspace | {"prepend_scheme": "never"})}),
        "metaspace first, whole": ("unigram", {"normalizer": {"type": "NFKC"}, "pre_tokenizer": metaspace | {"prepend_scheme": "first", "split": False}}),
        "metaspace always": ("unigram", {"normalizer": {"type": "NFKC"}, "pre_tokenizer": metaspace}),
        "albert": ("unigram", {"normalizer": sequence(replace({"String": "``"}, '"'), replace({"String": "''"}, '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, charsmap, replace({"Regex": " {2,}"}, " "))}),
        "deberta-v2": ("unigram", {"normalizer": sequence(replace({"Regex": r"\s{2,}|[\n\r\t]"}, " "), {"type": "NFC"}, strip | {"strip_left": False}), "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Isolated"}, metaspace]}}),
        "deberta-v2 of 4.x": ("unigram", {"normalizer": sequence({"type": "Lowercase"}, strip, charsmap, replace({"Regex": " {2,}"}, " ")), "pre_tokenizer": metaspace}),
        "unigram, byte fallback": ("unigram", {"model": {"byte_fallback": True, "vocab": AND_BYTES}}),
        "unigram, own tokens": ("unigram", {"added_tokens": [*unigram_json["added_tokens"], *added(["of to", "mask"], len(pieces), special=False, normalized=True)]}),
    }  # fmt: skip


#: In the fixture, for what would stand in it many times: the vocabulary with a piece for each byte, and the charsmap.
AND_BYTES, THE_CHARSMAP = "the vocabulary and bytes", "the charsmap"


def merged(json_: dict, parts: dict) -> dict:
    whole = json_ | {key: json_["model"] | value if key == "model" else value for key, value in parts.items()}
    if whole["model"]["vocab"] == AND_BYTES:
        whole["model"] |= {"vocab": json_["model"]["vocab"] + [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]}
    return whole


def digest(ids: list[int]) -> str:
    return hashlib.sha256(array("i", ids).tobytes()).hexdigest()[:10]


def kinds(bpe_json: dict, unigram_json: dict) -> dict:
    """Of the two tokenizers the ids of every line, of their variants a digest of them."""
    lines = [valid(text) for text in EDGE_CASES + LINES]
    found = {}
    for name, (base, parts) in ({"bpe": ("bpe", {}), "unigram": ("unigram", {})} | variants(bpe_json, unigram_json)).items():
        tokenizer = Tokenizer.from_str(json.dumps(merged(bpe_json if base == "bpe" else unigram_json, parts)))
        tokenizer.no_truncation()
        ids = [tokenizer.encode(text).ids for text in lines]
        pairs = [tokenizer.encode(*pair) for pair in PAIRS]
        found[name] = {
            "base": base, "parts": parts, "lines": ids if name == base else [digest(one) for one in ids],
            "pairs": [{"ids": pair.ids, "types": pair.type_ids} for pair in pairs],
            "decoded": [tokenizer.decode(one, skip_special_tokens=True) for one in ids[13:30]] if name == base else [],
        }  # fmt: skip
    return {name: found[name] for name in sorted(found)}


def truncated(folders: dict[str, Path]) -> list[dict]:
    cases = []
    for kind, folder in folders.items():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for first, second in [("the and of to in is it", None), ("the and of to in is it", "that was"), ("that", "the and of to in is it"), ("", "a b c d"), ("the and of to in", "is it that was for")]:
            for max_length in (4, 5, 6, 7, 8, 9, 11):
                for side in ("right", "left"):
                    tokenizer.truncation_side = side
                    batch = tokenizer([first], None if second is None else [second], truncation=True, max_length=max_length)
                    cases.append({"kind": kind, "texts": [first, second], "max_length": max_length, "side": side, "ids": batch["input_ids"][0]})
    return cases


NORMALIZERS = [{"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")] + [
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]},
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
]
PUNCTUATION = {"type": "Punctuation", "behavior": "Isolated"}
PRE_TOKENIZERS = [
    {"type": "WhitespaceSplit"}, {"type": "Whitespace"}, {"type": "BertPreTokenizer"},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    *({"type": "Punctuation", "behavior": behavior} for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")),
    *({"type": "Split", "pattern": {"String": " "}, "behavior": behavior, "invert": invert} for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous") for invert in (False, True)),
]  # fmt: skip
#: The smallest text for each fault that @huggingface/tokenizers 0.2.0 has; what Rust makes of it goes into the fixture.
FAULTS = [
    ("a zero width joiner is kept", "charsmap", "👩\u200d👧"), ("an Arabic letter mark is kept", "charsmap", "a\u061cb"), ("a mark that is mapped to nothing", "charsmap", "a\u0344b"),
    ("a letter with three marks is not composed", "charsmap", "e\u0301\u0323\u0300"), ("a mapped character loses its mark", "charsmap", "\ufb01\u0301"), ("CRLF is one blank", "charsmap", "a\r\nb"),
    ("U+FEFF is no white space", {"type": "WhitespaceSplit"}, "a\ufeffb"), ("U+0085 is white space", {"type": "WhitespaceSplit"}, "a\u0085b"), ("U+0085 in byte-level BPE", PRE_TOKENIZERS[3], "a\u0085b"),
    ("a final sigma", {"type": "Lowercase"}, "ΣΑΣ"), ("marks that are newer than the tables", {"type": "StripAccents"}, "a\u0c3cb"), ("a letter that is newer", {"type": "NFKC"}, "a\ua7f2b"),
    ("a digit that is newer", {"type": "NFKD"}, "\U0001ccf0"), ("a mark that is newer is not sorted", {"type": "NFD"}, "a\u0315\u08d3"), ("a newer letter in byte-level BPE", PRE_TOKENIZERS[3], "a\U00010d50"),
    ("an empty text gets no blank", PRE_TOKENIZERS[3], ""), ("a run of punctuation is taken apart", {"type": "Punctuation", "behavior": "Isolated"}, "a...b"), ("words are not of ASCII alone", {"type": "Whitespace"}, "résumé"),
    ("a match joins what comes before", {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, "a  b c"), ("pieces are cut at the mark", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}, "a▁b c"),
]  # fmt: skip


def component(spec: dict):
    """The component alone: a function from text to text, or to pieces."""
    shell = json.loads(Tokenizer(models.BPE()).to_str())
    if spec in PRE_TOKENIZERS or spec["type"] in {one["type"] for one in PRE_TOKENIZERS}:
        step = Tokenizer.from_str(json.dumps(shell | {"pre_tokenizer": spec})).pre_tokenizer
        return lambda text: [piece for piece, _ in step.pre_tokenize_str(text)] if text else []
    step = Tokenizer.from_str(json.dumps(shell | {"normalizer": spec})).normalizer
    return step.normalize_str


def small_models() -> list[dict]:
    """Unigram with several ways of the same score to cut a text, and what each model makes of unknown characters."""
    pieces = {"0": 1, "00": 2, "000": 3, "5": 1, "50": 2, ".": 1, "..": 2, "....": 4, "ab": 2, "abc": 3, "c": 1, "bc": 2, "a": 1}
    bytes_ = [f"<0x{byte:02X}>" for byte in "é".encode()]
    unigram = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], *([piece, -float(length)] for piece, length in pieces.items())], "byte_fallback": False}
    bpe_ = {"type": "BPE", "vocab": {token: id for id, token in enumerate(["<unk>", "a", "b", "ab", "aa", "aaa", "b</w>", "ab</w>", *bytes_])}, "merges": [["a", "b"], ["a", "a"], ["aa", "a"], ["a", "b</w>"]]}
    texts = ["50000", "..........", "000000", "abcabc", "x0y00zz", "axb", "xyabxyz", "éaéb", "aéxéxb", "aaaaaaab", "aab", "abaab", "", "x", "<unk>a"]
    cases = [unigram, unigram | {"byte_fallback": True, "vocab": [*unigram["vocab"], *([piece, 0.0] for piece in bytes_)]}, bpe_]
    cases += [bpe_ | settings for settings in (
        {"unk_token": "<unk>"}, {"unk_token": "<unk>", "fuse_unk": True}, {"byte_fallback": True}, {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
        {"end_of_word_suffix": "</w>"}, {"ignore_merges": True, "merges": []}, {"merges": ["a a", "a b", "a a", "aa a"]},
    )]  # fmt: skip
    cases.append({"type": "WordLevel", "vocab": {"u": 0, "ab": 1, "x": 2}, "unk_token": "u"})
    rows = []
    for model in cases:
        tokenizer = Tokenizer.from_str(json.dumps(json.loads(Tokenizer(models.BPE()).to_str()) | {"model": model}))
        rows.append({"model": model, "ids": {text: tokenizer.encode(text).ids for text in texts}})
    return rows


def components(charsmap: dict) -> list[dict]:
    """Of each component a digest over every code point in `ab?cd ?`, by plane."""
    rows = []
    for spec in [*NORMALIZERS, charsmap, *PRE_TOKENIZERS]:
        step, digests = component(spec), []
        for plane in PLANES if spec["type"] not in ("Split", "Punctuation") or spec == PUNCTUATION else PLANES[:1]:
            sha = hashlib.sha256()
            for code in range(plane << 16, (plane + 1) << 16):
                if 0xD800 <= code < 0xE000:
                    continue
                result = step(f"ab{chr(code)}cd {chr(code)}")
                sha.update((result if isinstance(result, str) else "\0".join(result)).encode() + b"\n")
            digests.append(sha.hexdigest()[:16])
        rows.append({"json": spec, "planes": digests})
    return rows


def random_strings(count: int) -> list[str]:
    """The same in JavaScript: a linear congruential generator over an alphabet that makes clusters."""
    alphabet, state, strings = random_alphabet(), 1, []

    def draw(below: int) -> int:
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return (state >> 8) % below

    for _ in range(count):
        strings.append("".join(alphabet[draw(len(alphabet))] for _ in range(1 + draw(8))))
    return strings


def random_alphabet() -> list[str]:
    return [*"ae o\r\n\tz1.", *"\u0301\u0323\u0300\u0308\u0327\u200d\u200c\ufe0f\u0344\u061c\u3099\uff9e", *"éßΩ漢かカｶ가각각", *"👩👧👍🏽🇩🇪ﬁﬂ㎏½…ﷺＡｂ１　\u00a0\u200b\ufeff\u0085\u00ad", *"कि्षกำ"]


def loaded(folders: dict[str, Path]) -> list[dict]:
    """What AutoTokenizer makes of a folder, with various settings in tokenizer_config.json."""
    def small(folder: Path, kind: str) -> dict:
        whole = read(folder)
        model = whole["model"]
        if kind == "roberta":
            vocab = {token: index for index, token in enumerate([*SPECIALS, "a", "b", "Ġ", "ab", "1", "0"])}
            model |= {"vocab": vocab, "merges": [["a", "b"]]}
            whole["added_tokens"] = added(SPECIALS[:4], 0, normalized=True) + added(["<mask>"], 4, lstrip=True)
        else:
            model["vocab"] = [[token, 0.0] for token in ["<s>NOTUSED", "<pad>", "<unk>NOTUSED", "<unk>", "</s>NOTUSED"]] + [["▁a", -1.5], ["b", -2.0], ["<mask>", 0.0], ["<s>", 0.0], ["</s>", 0.0], ["[CLS]", 0.0], ["[SEP]", 0.0]]
            whole["added_tokens"] = added(["<unk>"], 3) + added(["<mask>"], 7, lstrip=True)
            whole["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, whole["normalizer"]]}
            whole["pre_tokenizer"] = {"type": "WhitespaceSplit"}
        return whole | {"post_processor": None}

    roberta, unigram = small(folders["bpe"], "roberta"), small(folders["unigram"] / "saved", "unigram")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "B", "<s>", "</s>"]
    bert = roberta | {
        "added_tokens": added(words[:5], 0), "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": None, "lowercase": False},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}, "post_processor": template("[CLS]", "[SEP]", (2, 3), 1),
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {token: index for index, token in enumerate(words)}},
    }  # fmt: skip
    token = {"__type": "AddedToken", "content": "<mask>", "lstrip": False, "rstrip": True, "single_word": False, "normalized": False, "special": True}
    whole = roberta | {"post_processor": template("<s>", "</s>", (0, 2), 0)}
    vocab_json, merges = json.dumps(roberta["model"]["vocab"]), "#version: 0.2\na b\n"
    cases: list[tuple[str | None, dict | str, dict | None, dict]] = [
        ("roberta", roberta, None, {}),
        ("roberta", roberta, {"tokenizer_class": "RobertaTokenizerFast", "add_prefix_space": True, "trim_offsets": False, "model_max_length": 512}, {}),
        ("roberta", roberta | {"pre_tokenizer": roberta["pre_tokenizer"] | {"add_prefix_space": True}}, {"mask_token": token, "cls_token": "b", "sep_token": "ab"}, {}),
        ("roberta", roberta, {"added_tokens_decoder": {"4": {"content": "<mask>", "special": True}, "5": {"content": "a", "normalized": True}, "40": {"content": "<new>"}}}, {}),
        ("roberta", whole, {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True}, {}),
        ("roberta", roberta, {"additional_special_tokens": ["<x>", "b"]}, {}),
        ("roberta", roberta, {}, {"special_tokens_map.json": json.dumps({"mask_token": {"content": "<m>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}}), "added_tokens.json": '{"<y>": 11, "<x>": 12}'}),
        (None, roberta, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}, {}),
        (None, whole, {"add_prefix_space": True}, {}),
        ("roberta", "", {"model_max_length": 512}, {"vocab.json": vocab_json, "merges.txt": merges}),
        ("roberta", "", {"add_prefix_space": True, "mask_token": token}, {"vocab.json": vocab_json, "merges.txt": merges}),
        ("xlm-roberta", unigram, None, {}),
        ("xlm-roberta", unigram, {"tokenizer_class": "XLMRobertaTokenizerFast", "add_prefix_space": False, "mask_token": "<MASK>"}, {}),
        ("camembert", unigram, None, {}),
        ("camembert", unigram, {"additional_special_tokens": ["<x>"], "tokenizer_class": "CamembertTokenizer", "unk_token": "b"}, {}),
        ("camembert", roberta, {"tokenizer_class": "RobertaTokenizer"}, {}),
        ("albert", unigram, None, {}),
        ("albert", unigram, {"keep_accents": True, "do_lower_case": False}, {}),
        ("bert", bert, None, {}),
        ("bert", bert, {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False}, {}),
        ("electra", bert, {"tokenizer_class": "ElectraTokenizerFast", "do_lower_case": False}, {}),
        ("distilbert", bert, {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": False}, {}),
        ("distilbert", bert, {}, {}),
        ("mpnet", bert, {"do_lower_case": False}, {}),
    ]  # fmt: skip
    rows = []
    for model_type, json_, config, others in cases:
        files = dict(others)
        if json_:
            files["tokenizer.json"] = json.dumps(json_)
        if config is not None:
            files["tokenizer_config.json"] = json.dumps(config)
        if model_type is not None:
            files["config.json"] = json.dumps({"model_type": model_type})
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            tokenizer = AutoTokenizer.from_pretrained(folder)
        made = json.loads(tokenizer._tokenizer.to_str())
        if isinstance(made["model"].get("merges"), list):
            made["model"]["merges"] = [" ".join(merge) for merge in made["model"]["merges"]]
        rows.append({
            "files": files, "class": type(tokenizer).__name__, "json": {key: value for key, value in made.items() if key not in ("version", "truncation", "padding")},
            "max": tokenizer.model_max_length, "types": "token_type_ids" in tokenizer.model_input_names,
        })  # fmt: skip
    return rows


def ids(folder: str) -> None:
    texts = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # As lists, since outside of lists transformers takes an empty second text for none.
    print(json.dumps([tokenizer(*([part] for part in (text if isinstance(text, list) else [text])))["input_ids"][0] for text in texts]))


def train(data: Path, out: Path) -> None:
    """Vocabularies of 8,000 from every twentieth text; for each kind and file a digest of the ids of all texts."""
    files = sorted([*data.glob("*/*.csv"), *data.glob("*/*.csv.gz")])
    rows = {file: texts_of(file) for file in files}
    lines = [text for file in files for row in rows[file][::20] for text in row if text]
    bpe(lines, 8000, out / "roberta")
    model = spm(lines, 8000, own_rules=False)
    for kind in ("xlm-roberta", "camembert"):
        from_spm(model, kind, out / kind)
        (out / kind / "sentencepiece.bpe.model").unlink()
    for kind in ("roberta", "xlm-roberta/saved", "camembert/saved"):
        tokenizer = AutoTokenizer.from_pretrained(out / kind)
        digests = {}
        for file in files:
            sha = hashlib.sha256()
            second = None if rows[file][0][1] is None else [row[1] for row in rows[file]]
            for row in tokenizer([row[0] for row in rows[file]], second)["input_ids"]:
                sha.update(array("i", row).tobytes())
            digests[str(file.relative_to(data))] = {"texts": len(rows[file]), "sha256": sha.hexdigest()}
        (out / kind / "digests.json").write_text(json.dumps(digests))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        folders = {"bpe": Path(folder, "bpe"), "unigram": Path(folder, "xlm-roberta")}
        lines = made_up_text()
        bpe_json = bpe(lines, 1000, folders["bpe"])
        model = spm(lines, 1000, own_rules=True)
        unigram_json = from_spm(model, "xlm-roberta", folders["unigram"])
        camembert_json = from_spm(model, "camembert", Path(folder, "camembert"))
        charsmap = unigram_json["normalizer"]
        strings = random_strings(5000)
        normalize = component(charsmap)
        fixture = {
            "lines": EDGE_CASES + LINES,
            "tokenizers": {"bpe": bpe_json, "unigram": unigram_json},
            "kinds": kinds(bpe_json, unigram_json),
            "texts": PAIRS,
            "truncated": truncated({"bpe": folders["bpe"], "unigram": folders["unigram"] / "saved"}),
            "components": components(charsmap),
            "faults": [{"fault": fault, "json": charsmap if spec == "charsmap" else spec, "text": text, "result": component(charsmap if spec == "charsmap" else spec)(text)} for fault, spec, text in FAULTS],
            "models": small_models(),
            "random": {"alphabet": random_alphabet(), "count": len(strings), "sha256": hashlib.sha256("".join(normalize(text) + "\n" for text in strings).encode()).hexdigest()},
            "loaded": loaded(folders),
            "spm": {"model": base64.b64encode(model).decode(), "xlm-roberta": unigram_json["added_tokens"], "camembert": {"added_tokens": camembert_json["added_tokens"], "vocab": digest_of(camembert_json)}},
        }  # fmt: skip
    map_ = charsmap["precompiled_charsmap"]
    for key in ("kinds", "faults", "components", "loaded"):
        fixture[key] = json.loads(json.dumps(fixture[key]).replace(map_, THE_CHARSMAP))
    entries = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in fixture.items())
    FIXTURE.write_text(f"{{\n{entries}\n}}\n")


def digest_of(json_: dict) -> str:
    """Over the pieces of a Unigram vocabulary and their scores."""
    return hashlib.sha256("".join(f"{piece} {score:.6f}\n" for piece, score in json_["model"]["vocab"]).encode()).hexdigest()


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    if sys.argv[1:2] == ["--ids"]:
        ids(sys.argv[2])
    elif sys.argv[1:2] == ["--train"]:
        train(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
