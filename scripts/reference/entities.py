#!/usr/bin/env python3
"""Entities of label sequences as seqeval sees them, and of token logits as transformers' pipeline does.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/entities.py     # writes test/fixtures/entities.json

test/tasks/entities.ts reads the fixture.
"""

import json
import random
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy
from seqeval.metrics import accuracy_score, sequence_labeling, v1
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities
from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

warnings.filterwarnings("ignore")
FIXTURE = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "entities.json"
SCHEMES = {"IOB1": (IOB1, "IOB"), "IOB2": (IOB2, "IOB"), "IOBES": (IOBES, "IOBES"), "BILOU": (BILOU, "BILOU")}
TYPES = ["PER", "LOC", "A-B"]


def sequences(dice: random.Random, prefixes: str, count: int) -> list[list[str]]:
    """Random labels, in half of the cases such that many continue the one before."""
    found = []
    for _ in range(count):
        labels: list[str] = []
        for _ in range(dice.randint(1, 8)):
            if labels and labels[-1] != "O" and dice.random() < 0.5:
                labels.append(dice.choice(prefixes.replace("O", "")) + labels[-1][1:])
            else:
                prefix = dice.choice(prefixes)
                labels.append("O" if prefix == "O" else f"{prefix}-{dice.choice(TYPES)}")
        found.append(labels)
    return found


def spans(entities) -> list[list]:
    return [[entity.tag, entity.start, entity.end] for entity in entities]


def compact(rows: list[list]) -> str:
    return " ".join(f"{type}:{start}:{end}" for type, start, end in rows)


def schemes(dice: random.Random) -> dict:
    found = {}
    for name, (scheme, prefixes) in SCHEMES.items():
        true, predicted = sequences(dice, prefixes, 1000), []
        for labels in true:  # a third of the sentences is right, others have a label or all labels changed
            [other] = sequences(dice, prefixes, 1)
            other = (other * 8)[: len(labels)]
            place = dice.randrange(len(labels))
            predicted.append(dice.choice([labels, [*labels[:place], other[place], *labels[place + 1 :]], other]))
        rows = {"strict": compact(spans([one for sentence in Entities(true, scheme).entities for one in sentence]))}
        if name != "BILOU":
            rows["default"] = compact([list(one) for labels in true for one in get_entities(labels)])
        metrics = {}
        for mode, (scores, settings) in {"default": (sequence_labeling, {}), "strict": (v1, {"scheme": scheme})}.items():
            score = lambda average: [float(one) for one in scores.precision_recall_fscore_support(true, predicted, average=average, zero_division=0, **settings)[:3]]  # noqa: B023, E731
            types = sorted({one[0] for labels in [*true, *predicted] for one in get_entities(labels)}) if mode == "default" else sorted(Entities(true, scheme).unique_tags | Entities(predicted, scheme).unique_tags)
            by_type = [[float(one) for one in column] for column in zip(*scores.precision_recall_fscore_support(true, predicted, average=None, zero_division=0, **settings), strict=True)]
            metrics[mode] = {"micro": score("micro"), "macro": score("macro")[2], "weighted": score("weighted")[2], "by_type": dict(zip(types, by_type, strict=True)), "accuracy": accuracy_score(true, predicted)}
        found[name] = {"true": [" ".join(labels) for labels in true], "predicted": [" ".join(labels) for labels in predicted], **rows, "metrics": metrics}
    return found


class Words:
    """As much of a tokenizer as the pipeline asks for: tokens are given, ids are their places."""

    unk_token_id = -1

    def __init__(self, tokens: list[str], prefix: str | None):
        self.tokens = tokens
        self._tokenizer = SimpleNamespace(model=SimpleNamespace(continuing_subword_prefix=prefix))

    def convert_ids_to_tokens(self, index: int) -> str:
        return self.tokens[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens)


def made_up(dice: random.Random, prefix: str | None) -> tuple[str, list[str], list[tuple[int, int]]]:
    text, tokens, places = "", [], []
    for _ in range(dice.randint(1, 5)):
        text += " " if text and dice.random() < 0.8 else ""
        for part in range(dice.randint(1, 3)):
            piece = "".join(dice.choice("abcde") for _ in range(dice.randint(1, 4)))
            places.append((len(text), len(text) + len(piece)))
            tokens.append((prefix or "") + piece if part > 0 else piece)
            text += piece
    return text, tokens, places


def pipeline(dice: random.Random) -> list[dict]:
    cases = []
    for labels in (["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ["O", "PER", "LOC"], ["I-A", "I-B", "O"]):
        for prefix in ("##", None):
            for _ in range(25):
                text, tokens, places = made_up(dice, prefix)
                logits = [[dice.randint(-12, 12) for _ in labels] for _ in tokens]
                pipe = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
                pipe.tokenizer = Words(tokens, prefix)
                pipe.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(labels))))
                values = numpy.array(logits, dtype=numpy.float32) / 4
                exponents = numpy.exp(values - values.max(-1, keepdims=True))
                scores = exponents / exponents.sum(-1, keepdims=True)
                found = {}
                for strategy in AggregationStrategy:
                    before = pipe.gather_pre_entities(text, numpy.arange(len(tokens)), scores, places, numpy.zeros(len(tokens)), strategy)
                    entities = pipe.aggregate(before, strategy)
                    found[strategy.value] = [[one.get("entity", one.get("entity_group")), round(float(one["score"]), 7), one["start"], one["end"]] for one in entities]
                cases.append({"text": text, "prefix": prefix or "", "tokens": tokens, "places": places, "labels": labels, "logits": logits, "subwords": [int(one["is_subword"]) for one in before], "entities": found})
    return cases


def main() -> None:
    dice = random.Random(20)
    fixture = {"schemes": schemes(dice), "pipeline": pipeline(dice)}
    FIXTURE.write_text(json.dumps(fixture, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
