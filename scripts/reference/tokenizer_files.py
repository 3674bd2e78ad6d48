#!/usr/bin/env python3
"""Folders of tokenizer files and the ids that transformers' AutoTokenizer gives with them.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/tokenizer_files.py                    # writes test/fixtures/tokenizer-files.json
    python scripts/reference/tokenizer_files.py --ids FOLDERS < IN # of each folder of FOLDERS the ids of the texts in a JSON list

Which class, which files and which keys are there decides what a text becomes; test/tokenizer/files.ts reads the fixture, and saves every
folder again for the second form.
"""

import json
import sys
import tempfile
from pathlib import Path

import transformers
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "test" / "fixtures" / "tokenizer-files.json"
LINES = ["a b", "A Bé c", "a <e1> b </e1> c", "ab<e1>c", "a [MASK] <mask> b", "[CLS]a[SEP]", "<s>a</s>", "東京 a", "a <x> b<y>", "é É", "<image> a"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "A", "B", "é", "e", "É", "##b", "##c", "##é", "<", ">", "/", "##1", "e1", "1", "東", "京", "東京", "[", "]", "<s>", "</s>", "<cls>", "<sep>", "<mask>", "<unk>", "<pad>", "x", "y"]


def added(tokens: list[str], first: int, **settings) -> list[dict]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": first + index, "content": token, **plain, **settings} for index, token in enumerate(tokens)]


def bert(lower: bool, **more) -> dict:
    token = lambda name, type_id=0: {"SpecialToken": {"id": name, "type_id": type_id}}  # noqa: E731
    text = lambda name, type_id=0: {"Sequence": {"id": name, "type_id": type_id}}  # noqa: E731
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added(WORDS[:5], 0),
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": lower},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [token("[CLS]"), text("A"), token("[SEP]")], "pair": [token("[CLS]"), text("A"), token("[SEP]"), text("B", 1), token("[SEP]", 1)],
            "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in [("[CLS]", 2), ("[SEP]", 3)]},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {word: index for index, word in enumerate(WORDS)}},
        **more,
    }  # fmt: skip


def cases() -> list[tuple[str, dict[str, object]]]:
    cased, uncased = bert(False), bert(True)
    found: list[tuple[str, dict[str, object]]] = []

    def case(name: str, json_: dict | None = cased, config: dict | None = None, model: dict | None = None, **files) -> None:
        named = {"tokenizer.json": json_, "tokenizer_config.json": config, "config.json": model, **files}
        found.append((name, {key: value for key, value in named.items() if value is not None}))

    for model_type in ["bert", "electra", "distilbert", "mpnet", "funnel"]:
        case(f"{model_type}, no class, cased", model={"model_type": model_type})
        for lower in [True, False]:
            case(f"{model_type}, no class, do_lower_case {lower}", config={"do_lower_case": lower}, model={"model_type": model_type})
    for name in ["BertTokenizer", "BertTokenizerFast", "ElectraTokenizer", "ElectraTokenizerFast", "DistilBertTokenizer", "MPNetTokenizer", "FunnelTokenizer", "LayoutLMTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer", "LxmertTokenizer", "ConvBertTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend", "NoSuchTokenizer"]:
        case(f"{name}, cased", config={"tokenizer_class": name}, model={"model_type": "bert"})
        case(f"{name}, do_lower_case", uncased, config={"tokenizer_class": name, "do_lower_case": False, "strip_accents": True}, model={"model_type": "bert"})
    case("class in config.json", model={"model_type": "bert", "tokenizer_class": "PreTrainedTokenizerFast"})
    case("class in config.json, BertTokenizer", model={"model_type": "electra", "tokenizer_class": "BertTokenizer"})
    case("modernbert", uncased, config={"tokenizer_class": "BertTokenizer"}, model={"model_type": "modernbert"})
    case("modernbert, no class", model={"model_type": "modernbert"})
    case("class alone", config={"tokenizer_class": "BertTokenizer"})
    case("class alone, backend", config={"tokenizer_class": "PreTrainedTokenizerFast"})
    keys = {
        "extra_special_tokens": {"extra_special_tokens": ["<e1>", "</e1>"]}, "additional_special_tokens": {"additional_special_tokens": ["<e1>", "</e1>"]},
        "added_tokens_decoder": {"added_tokens_decoder": {str(len(WORDS)): {"content": "<e1>", "special": True}, str(len(WORDS) + 1): {"content": "</e1>", "special": True}}},
        "added_tokens_decoder, not special": {"added_tokens_decoder": {"90": {"content": "<e1>", "lstrip": True}, "80": {"content": "</e1>", "rstrip": True}}},
        "added_tokens_decoder of one in the file": {"added_tokens_decoder": {"4": {"content": "[MASK]", "lstrip": True, "rstrip": True, "special": True}}},
        "extra_special_tokens by name": {"extra_special_tokens": {"image_token": "<image>", "x_token": "<x>"}}, "image_token": {"image_token": "<image>"},
        "both lists": {"extra_special_tokens": ["<e1>"], "additional_special_tokens": ["<x>"]}, "an empty list": {"extra_special_tokens": [], "additional_special_tokens": ["<x>"]},
        "cls_token and sep_token": {"cls_token": "<s>", "sep_token": "</s>"}, "cls_token, new": {"cls_token": "<x>", "mask_token": {"__type": "AddedToken", "content": "<y>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False, "special": True}},
        "tokens of null": {"mask_token": None, "bos_token": None, "eos_token": "<e1>"}, "split_special_tokens": {"split_special_tokens": True}, "max_len": {"max_len": 77},
    }  # fmt: skip
    for name, config in keys.items():
        case(f"{name}, BertTokenizer", config={"tokenizer_class": "BertTokenizer", "do_lower_case": False} | config, model={"model_type": "bert"})
        case(f"{name}, as it stands", config={"tokenizer_class": "PreTrainedTokenizerFast"} | config, model={"model_type": "bert"})
    mask = {"content": "<y>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    beside = {
        "special_tokens_map.json": {"special_tokens_map.json": {"additional_special_tokens": ["<e1>", "</e1>"], "mask_token": mask, "unk_token": "[UNK]"}},
        "special_tokens_map.json, extra": {"special_tokens_map.json": {"extra_special_tokens": ["<e1>", {"content": "<x>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}]}},
        "added_tokens.json": {"added_tokens.json": {"<e1>": len(WORDS), "</e1>": len(WORDS) + 1}},
        "added_tokens.json with an id of the file": {"added_tokens.json": {"<e1>": 4, "<x>": 36, "<y>": 2000}},
        "special_tokens_map.json, added_tokens.json": {"special_tokens_map.json": {"additional_special_tokens": ["<e1>"]}, "added_tokens.json": {"</e1>": len(WORDS), "<e1>": len(WORDS) + 1}},
    }  # fmt: skip
    for name, files in beside.items():
        case(f"{name}, BertTokenizer", config={"tokenizer_class": "BertTokenizer", "do_lower_case": False}, model={"model_type": "bert"}, **files)
        case(f"{name}, as it stands", config={"tokenizer_class": "PreTrainedTokenizerFast"}, model={"model_type": "bert"}, **files)
        case(f"{name}, with a list in the config", config={"tokenizer_class": "PreTrainedTokenizerFast", "extra_special_tokens": ["<z>"]}, model={"model_type": "bert"}, **files)
        case(f"{name}, with added_tokens_decoder", config={"tokenizer_class": "BertTokenizer", "added_tokens_decoder": {"50": {"content": "<z>"}}}, model={"model_type": "bert"}, **files)
    own = bert(False, added_tokens=added(WORDS[:5], 0) + added(["<e1>", "x y"], len(WORDS), special=False, normalized=True))
    case("added tokens of the file, BertTokenizer", own, config={"tokenizer_class": "BertTokenizer"}, model={"model_type": "bert"})
    case("added tokens of the file and the config", own, config={"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {"36": {"content": "<x>"}}}, model={"model_type": "bert"})
    left = bert(False, truncation={"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0})
    case("truncation on the left in the file", left, config={"tokenizer_class": "PreTrainedTokenizerFast"}, model={"model_type": "bert"})
    case("truncation on the left in the file, BertTokenizer", left, config={"tokenizer_class": "BertTokenizer"}, model={"model_type": "bert"})
    case("truncation on the left in the file, not in the config", left, config={"tokenizer_class": "BertTokenizer", "truncation_side": "right"}, model={"model_type": "bert"})
    vocab = "\n".join(WORDS) + "\n"
    for name in ["BertTokenizer", "ElectraTokenizer", "DistilBertTokenizer"]:
        case(f"vocab.txt, {name}", None, config={"tokenizer_class": name, "additional_special_tokens": ["<e1>"], "do_lower_case": False}, model={"model_type": "bert"}, **{"vocab.txt": vocab, "added_tokens.json": {"<x>": len(WORDS)}})
    return found


def in_python() -> list[str]:
    """The classes of transformers that tokenize in Python."""
    from transformers import TokenizersBackend
    from transformers.models.auto import tokenization_auto

    names = {name for name in tokenization_auto.TOKENIZER_MAPPING_NAMES.values() if name}
    classes = {name: tokenization_auto.tokenizer_class_from_name(name) for name in names if name != "MistralCommonBackend"}
    return sorted(name for name, each in classes.items() if each is not None and not issubclass(each, TokenizersBackend) and name not in ("RagTokenizer",))


def encoded(folder: Path, texts: list) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer(*([part] for part in (text if isinstance(text, list) else [text])))["input_ids"][0] for text in texts]


def main() -> None:
    rows = []
    for name, files in cases():
        with tempfile.TemporaryDirectory() as folder:
            for file, content in files.items():
                Path(folder, file).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
            tokenizer = AutoTokenizer.from_pretrained(folder)
            pair = tokenizer("a b", "c")
            rows.append({
                "name": name, "files": files, "class": type(tokenizer).__name__, "size": len(tokenizer), "max": tokenizer.model_max_length, "lines": encoded(Path(folder), LINES),
                "pair": {"ids": pair["input_ids"], "types": pair.get("token_type_ids")}, "truncated": tokenizer("a b c e 1", truncation=True, max_length=4)["input_ids"],
            })  # fmt: skip
    text = ",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows)
    text = text.replace(json.dumps(bert(False)["model"]["vocab"], separators=(",", ":"), ensure_ascii=False), '"the words"')
    head = {"transformers": transformers.__version__, "words": WORDS, "lines": LINES, "in_python": in_python()}
    FIXTURE.write_text(json.dumps(head, separators=(",", ":"), ensure_ascii=False)[:-1] + f',"folders":[\n{text}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    if sys.argv[1:2] == ["--ids"]:
        texts = json.load(sys.stdin)
        print(json.dumps({folder.name: encoded(folder, texts) for folder in sorted(Path(sys.argv[2]).iterdir())}))
    else:
        main()
