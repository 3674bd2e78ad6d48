#!/usr/bin/env python3
"""Every component and setting of a tokenizer.json, with the ids that Rust `tokenizers` gives.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/tokenizer_components.py     # writes test/fixtures/tokenizer-components.json

A case is a tokenizer.json of which only one part is out of the ordinary; the model is a BPE of single characters whose end_of_word_suffix
shows where the pieces end. test/tokenizer/components.ts reads the fixture and docs/tokenizers.md has the table of what is read.
"""

import itertools
import json
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "test" / "fixtures" / "tokenizer-components.json"
END = "⏎"
LINES = [
    "", " ", "Hello, World!", "  two  blanks  ", "don't 'it''s' we'LL", "a-b--c---d", "---", "12 3.45x67 ½²Ⅷ٣४ 1a2",
    "Größe naïve résumé école", "ΣΑΣ ΟΔΟΣ. ΑΣ", "Москва, привет!", "東京タワーー 大阪", "カﾞ ｶﾞ ﬁne ﷺ", "e\u0301\u0323a\u0300 o\u0308",
    "tab\tline\r\nend\n\n", "nbsp\u00a0x\u2003y\u3000z", "\u0085a\u200bb\ufeffc\u200d", "x\u0001\u007f\u008fy\ufffd", "a▁b ▁▁c▁", "xxaxxbx", "ab c AB C xab cy _ab c_ ab c", "👩\u200d👧 🇩🇪 𝒳y", "_snake_case_ a_1", "$5 <b> ~^`|+=", "İI ıi ẞß",
]  # fmt: skip
PAIRS = [["one two", "three"], ["", "b"], ["a", ""]]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def of(kind: str, **settings) -> dict:
    return {"type": kind, **settings}


def normalizer_cases() -> dict[str, dict]:
    replace = lambda pattern, content: of("Replace", pattern=pattern, content=content)  # noqa: E731
    cases = {kind: of(kind) for kind in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"]}
    cases |= {f"Strip left {left} right {right}": of("Strip", strip_left=left, strip_right=right) for left, right in itertools.product([True, False], repeat=2)}
    for clean, chinese, accents, lower in itertools.product([True, False], [True, False], [None, True, False], [True, False]):
        settings = {"clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower}
        cases[f"BertNormalizer {' '.join(str(value) for value in settings.values())}"] = of("BertNormalizer", **settings)
    cases |= {
        "Prepend": of("Prepend", prepend="▁"), "Replace a text": replace({"String": "x"}, "yz"), "Replace by nothing": replace({"String": "--"}, ""),
        "Replace runs of white space": replace({"Regex": r"\s+"}, "_"), "Replace runs of blanks": replace({"Regex": " {2,}"}, " "),
        "Replace another pattern": replace({"Regex": "[aeiou]"}, "*"),
        "Sequence": of("Sequence", normalizers=[of("NFD"), of("Lowercase"), of("StripAccents")]),
        "Sequence in a Sequence": of("Sequence", normalizers=[of("Sequence", normalizers=[of("NFKD"), of("Lowercase")]), of("Prepend", prepend="x")]),
        "Sequence of none": of("Sequence", normalizers=[]),
    }  # fmt: skip
    return {name: {"normalizer": part} for name, part in cases.items()}


def pre_tokenizer_cases() -> dict[str, dict]:
    metaspace = lambda **settings: of("Metaspace", replacement="▁", **settings)  # noqa: E731
    sequence = lambda *steps: of("Sequence", pretokenizers=list(steps))  # noqa: E731
    cases = {kind: of(kind) for kind in ["BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"]}
    cases |= {f"Punctuation {behavior}": of("Punctuation", behavior=behavior) for behavior in BEHAVIORS}
    cases |= {"Punctuation": of("Punctuation"), "Digits together": of("Digits", individual_digits=False), "Digits alone": of("Digits", individual_digits=True)}
    cases |= {f"CharDelimiterSplit {name}": of("CharDelimiterSplit", delimiter=delimiter) for name, delimiter in [("x", "x"), ("blank", " "), ("line end", "\n"), ("emoji", "👧")]}
    cases |= {f"FixedLength {length}": of("FixedLength", length=length) for length in [1, 3]} | {"FixedLength": of("FixedLength")}
    patterns = {"x": {"String": "x"}, "two": {"String": "--"}, "blank": {"String": " "}, "white space": {"Regex": r"\s+"}, "GPT-2": {"Regex": GPT2}, "Llama": {"Regex": LLAMA}}
    for (name, pattern), behavior, invert in itertools.product(patterns.items(), BEHAVIORS, [False, True]):
        cases[f"Split {name} {behavior} {'inverted' if invert else ''}".strip()] = of("Split", pattern=pattern, behavior=behavior, invert=invert)
    cases["Split another pattern"] = of("Split", pattern={"Regex": "[aeiou]"}, behavior="Isolated", invert=False)
    for prefix, regex, trim in itertools.product([True, False], [True, False], [True, False]):
        cases[f"ByteLevel prefix {prefix} regex {regex} trim {trim}"] = of("ByteLevel", add_prefix_space=prefix, use_regex=regex, trim_offsets=trim)
    cases["ByteLevel without use_regex"] = of("ByteLevel", add_prefix_space=False, trim_offsets=True)
    for scheme, split in itertools.product(["always", "first", "never"], [True, False]):
        cases[f"Metaspace {scheme} split {split}"] = metaspace(prepend_scheme=scheme, split=split)
    cases |= {
        "Metaspace": metaspace(), "Metaspace add_prefix_space true": metaspace(add_prefix_space=True), "Metaspace add_prefix_space false": metaspace(add_prefix_space=False),
        "Metaspace add_prefix_space false never": metaspace(add_prefix_space=False, prepend_scheme="never"), "Metaspace x": metaspace() | {"replacement": "x"},
        "Sequence of WhitespaceSplit, Metaspace": sequence(of("WhitespaceSplit"), metaspace(prepend_scheme="always", split=True)),
        "Sequence of Whitespace, Digits, Punctuation": sequence(of("Whitespace"), of("Digits", individual_digits=True), of("Punctuation", behavior="Contiguous")),
        "Sequence of Metaspace, Punctuation": sequence(metaspace(prepend_scheme="first", split=True), of("Punctuation", behavior="MergedWithPrevious")),
        "Sequence of Punctuation, Metaspace first": sequence(of("Punctuation", behavior="Isolated"), metaspace(prepend_scheme="first", split=True)),
        "Sequence of WhitespaceSplit, Metaspace first": sequence(of("WhitespaceSplit"), metaspace(prepend_scheme="first", split=True)),
        "Sequence of CharDelimiterSplit, Metaspace first": sequence(of("CharDelimiterSplit", delimiter="a"), metaspace(prepend_scheme="first", split=True)),
        "Sequence in a Sequence": sequence(sequence(of("WhitespaceSplit"), of("Digits", individual_digits=False)), of("FixedLength", length=4)),
        "Sequence of Split, ByteLevel": sequence(of("Split", pattern={"Regex": LLAMA}, behavior="Isolated", invert=False), of("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)),
        "Sequence of Digits, ByteLevel": sequence(of("Digits", individual_digits=True), of("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)),
        "Sequence of two ByteLevel": sequence(*[of("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)] * 2),
        "Sequence of none": sequence(),
    }  # fmt: skip
    named = {name: {"pre_tokenizer": part} for name, part in cases.items()}
    lower = of("Sequence", normalizers=[of("NFD"), of("Lowercase"), of("StripAccents")])
    named["Whitespace after NFD, Lowercase, StripAccents"] = {"normalizer": lower, "pre_tokenizer": of("Whitespace")}
    for name, step in {"Strip": of("Strip", strip_left=True, strip_right=True), "Prepend": of("Prepend", prepend=" "), "Nmt": of("Nmt"), "Replace": of("Replace", pattern={"String": " "}, content="")}.items():
        named[f"Metaspace first after {name}"] = {"normalizer": step, "pre_tokenizer": metaspace(prepend_scheme="first", split=True)}
    return named


def processor_cases() -> dict[str, dict]:
    token = lambda id, type_id=0: {"SpecialToken": {"id": id, "type_id": type_id}}  # noqa: E731
    text = lambda id, type_id=0: {"Sequence": {"id": id, "type_id": type_id}}  # noqa: E731
    special = {"[C]": {"id": "[C]", "ids": [1], "tokens": ["C"]}, "[S]": {"id": "[S]", "ids": [2, 3], "tokens": ["S", "T"]}}
    template = lambda single, pair: of("TemplateProcessing", single=single, pair=pair, special_tokens=special)  # noqa: E731
    ordinary = template([token("[C]"), text("A"), token("[S]")], [token("[C]"), text("A"), token("[S]"), text("B", 1), token("[S]", 1)])
    cls, sep = {"cls": ["C", 1]}, {"sep": ["S", 2]}
    byte_level = of("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True)
    roberta = of("RobertaProcessing", **sep, **cls, trim_offsets=True, add_prefix_space=True)
    cases = {
        "BertProcessing": of("BertProcessing", **sep, **cls), "RobertaProcessing": roberta, "RobertaProcessing trim_offsets false": roberta | {"trim_offsets": False},
        "ByteLevel": byte_level, "TemplateProcessing of several ids": ordinary,
        "TemplateProcessing B before A": template([text("A")], [text("B", 0), token("[C]", 1), text("A", 1)]),
        "TemplateProcessing of the texts alone": template([text("A")], [text("A"), text("B", 1)]),
        "TemplateProcessing A twice": template([text("A"), token("[C]"), text("A")], [text("A"), text("B", 1)]),
        "TemplateProcessing type 2": template([text("A")], [text("A"), text("B", 2)]),
        "Sequence of ByteLevel, TemplateProcessing": of("Sequence", processors=[byte_level, ordinary]), "Sequence of none": of("Sequence", processors=[]),
        "Sequence of TemplateProcessing, ByteLevel": of("Sequence", processors=[ordinary, byte_level]),
        "Sequence of two that place tokens": of("Sequence", processors=[of("BertProcessing", **sep, **cls), of("BertProcessing", **sep, **cls)]),
        "Sequence in a Sequence": of("Sequence", processors=[of("Sequence", processors=[byte_level]), roberta]),
    }  # fmt: skip
    return {f"{name} (post_processor)": {"post_processor": part} for name, part in cases.items()}


def added_cases(size: int) -> dict[str, dict]:
    cases = {}
    for single, left, right, normalized in itertools.product([False, True], repeat=4):
        settings = {"single_word": single, "lstrip": left, "rstrip": right, "normalized": normalized}
        tokens = [{"id": size + index, "content": content, "special": index == 0, **settings} for index, content in enumerate(["ab c", "x", "Σ"])]
        name = "added tokens" + "".join(f", {key}" for key, value in settings.items() if value)
        cases[name] = {"normalizer": of("Lowercase"), "pre_tokenizer": of("WhitespaceSplit"), "added_tokens": tokens}
    overlapping = ["ab", "ab c", "b c", "c x"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    cases["added tokens that overlap"] = {"added_tokens": [{"id": size + index, "content": content, **plain} for index, content in enumerate(overlapping)]}
    cases["an added token twice"] = {"added_tokens": [{"id": size, "content": "ab", **plain}, {"id": size + 1, "content": "ab", **plain, "lstrip": True}, {"id": size + 1, "content": "c", **plain}]}
    cases["added tokens with other ids"] = {"added_tokens": [{"id": 7, "content": "ab", **plain}, {"id": size + 20, "content": "a", **plain}]}
    return cases


def model_cases() -> dict[str, dict]:
    split = {"pre_tokenizer": of("WhitespaceSplit")}
    letters = lambda *more: {piece: index for index, piece in enumerate(dict.fromkeys(["<unk>", *"abcdexy12é", *more]))}  # noqa: E731
    piece = {"unk_token": "<unk>", "vocab": letters("ab", "##c", "##b", "abc", "##é", "c##", "##d", "dd", "##👧")}
    bpe = lambda **settings: of("BPE", **({"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False} | settings))  # noqa: E731
    merges = {"vocab": letters("ab", "abc", "cd", "ab1"), "merges": [["a", "b"], ["ab", "c"], ["c", "d"], ["ab", "1"]]}
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    prefixed = {"vocab": letters("##b", "##c", "ab", "abc", "##d", "##bc"), "merges": [["##b", "##c"], ["a", "##bc"], ["a", "##b"]]}
    suffixed = {"vocab": letters("b</w>", "c</w>", "ab</w>", "ab", "d</w>"), "merges": [["a", "b</w>"], ["a", "b"]]}
    pieces = [["<unk>", 0.0], ["a", -2.0], ["b", -2.0], ["c", -2.0], ["ab", -4.0], ["bc", -4.0], ["aa", -3.0], ["aaa", -4.5], ["▁", -2.5], ["0", -1.1], ["00", -2.2], ["000", -3.3], ["0000", -4.4]]
    with_bytes = [*pieces, *[[name, -20.0] for name in bytes_]]
    cases = {
        "WordPiece": of("WordPiece", **piece, continuing_subword_prefix="##", max_input_chars_per_word=100),
        "WordPiece without a prefix": of("WordPiece", **piece, continuing_subword_prefix="", max_input_chars_per_word=100),
        "WordPiece max_input_chars_per_word 3": of("WordPiece", **piece, continuing_subword_prefix="##", max_input_chars_per_word=3),
        "WordPiece without a type": {**piece, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
        "WordLevel": of("WordLevel", vocab=letters("ab", "Hello,"), unk_token="<unk>"),
        "BPE": bpe(**merges), "BPE unk_token": bpe(**merges, unk_token="<unk>"), "BPE fuse_unk": bpe(**merges, unk_token="<unk>", fuse_unk=True),
        "BPE merges as text": bpe(vocab=merges["vocab"], merges=[" ".join(pair) for pair in merges["merges"]]), "BPE dropout 0": bpe(**merges, dropout=0.0), "BPE dropout": bpe(**merges, dropout=0.5),
        "BPE byte_fallback": bpe(vocab=letters(*bytes_, "ab"), merges=[["a", "b"]], unk_token="<unk>", byte_fallback=True),
        "BPE byte_fallback, bytes missing": bpe(vocab=letters(*bytes_[:0xC4], "ab"), merges=[["a", "b"]], unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        "BPE byte_fallback, prefix, suffix": bpe(vocab=letters(*bytes_), merges=[], unk_token="<unk>", byte_fallback=True, continuing_subword_prefix="##", end_of_word_suffix="</w>"),
        "BPE ignore_merges": bpe(**{**merges, "vocab": letters("ab", "abc", "cd", "ab1", "xyx", "don't")}, unk_token="<unk>", ignore_merges=True),
        "BPE continuing_subword_prefix": bpe(**prefixed, unk_token="<unk>", continuing_subword_prefix="##"), "BPE continuing_subword_prefix empty": bpe(**merges, continuing_subword_prefix=""),
        "BPE end_of_word_suffix": bpe(**suffixed, unk_token="<unk>", end_of_word_suffix="</w>"),
        "BPE prefix and suffix": bpe(vocab=letters("##b", "##b</w>", "ab", "ab</w>"), merges=[["a", "##b"], ["a", "##b</w>"]], unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"),
        "Unigram": of("Unigram", unk_id=0, vocab=pieces, byte_fallback=False), "Unigram without byte_fallback": of("Unigram", unk_id=0, vocab=pieces),
        "Unigram byte_fallback": of("Unigram", unk_id=0, vocab=with_bytes, byte_fallback=True), "Unigram byte_fallback, bytes missing": of("Unigram", unk_id=0, vocab=pieces, byte_fallback=True),
        "Unigram unk_id null": of("Unigram", unk_id=None, vocab=pieces, byte_fallback=False), "Unigram unk_id 1": of("Unigram", unk_id=1, vocab=pieces, byte_fallback=False),
    }  # fmt: skip
    return {name: {**split, "model": model} for name, model in cases.items()}


MODEL_LINES = ["", "abc", "abcab", "ab abc abcd dd", "xyx xéx éb", "aaaaa 00000 0000000", "zab zzab abzz azzb", "東京a 👧a a👧", "Hello, ab abc", "ab1 1ab ab12", "don't", "c## ##c", "abcabcabcabc", "é" * 4, "▁a▁▁b"]


def complete(parts: dict, alphabet: str) -> dict:
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": character_model(alphabet), **parts,
    }  # fmt: skip


def character_model(alphabet: str) -> dict:
    """Each character by itself and, as another token, at the end of a piece."""
    vocab = {"<unk>": 0, **{token: 1 + index for index, token in enumerate(name for character in alphabet for name in (character, character + END))}}
    return {
        "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": END, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": False, "vocab": vocab, "merges": [],
    }  # fmt: skip


def results(parts: dict, alphabet: str, lines: list[str]) -> dict:
    """Ids of each line and each pair, or what Rust says: at loading, or at a text (null)."""
    try:
        tokenizer = Tokenizer.from_str(json.dumps(complete(parts, alphabet)))
    except BaseException as error:  # a panic is not an Exception
        return {"error": str(error).splitlines()[0][:100]}
    found = {"lines": [ids(tokenizer, line) for line in lines]}
    if "post_processor" in parts:
        encodings = [tokenizer.encode(*pair) for pair in PAIRS]
        found["pairs"] = [{"ids": encoding.ids, "types": encoding.type_ids} for encoding in encodings]
    return found


def ids(tokenizer: Tokenizer, line: str) -> list[int] | None:
    try:
        return tokenizer.encode(line).ids
    except BaseException:
        return None


def main() -> None:
    alphabet = "".join(sorted({character for line in LINES for character in line + line.lower() + line.upper()} | set("▁Ġ*_yz") | set(chr(code) for code in range(0x21, 0x180))))
    size = 1 + 2 * len(alphabet)
    groups = {
        "normalizer": normalizer_cases(), "pre_tokenizer": pre_tokenizer_cases(), "post_processor": processor_cases(), "added_tokens": added_cases(size), "model": model_cases(),
    }  # fmt: skip
    covered = json.dumps(groups)
    for module in [normalizers, pre_tokenizers, models, processors]:
        kinds = {name for name in dir(module) if name[0].isupper()} - {"NORMALIZERS", "Normalizer", "PreTokenizer", "Model", "PostProcessor", "Precompiled"}
        missing = [kind for kind in kinds if f'"type": "{kind}"' not in covered]
        assert not missing, missing
    cases = [
        {"group": group, "name": name, "parts": parts, **results(parts, alphabet, MODEL_LINES if group == "model" else LINES)}
        for group, named in groups.items()
        for name, parts in named.items()
    ]  # fmt: skip
    rows = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
    head = {"tokenizers": tokenizers.__version__, "alphabet": alphabet, "end": END, "lines": LINES, "model_lines": MODEL_LINES, "pairs": PAIRS}
    FIXTURE.write_text(json.dumps(head, separators=(",", ":"))[:-1] + f',"cases":[\n{rows}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
