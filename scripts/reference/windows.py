"""Writes test/fixtures/windows.json: the windows that transformers' fast BERT tokenizer cuts long texts into
(`return_overflowing_tokens` with `stride`).

    python scripts/reference/windows.py
"""

import json
import tempfile
from pathlib import Path

from transformers import BertTokenizerFast

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "windows.json"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij", *(f"##{letter}" for letter in "abcdefghij")]
LETTERS = "abcdefghij"


def text_of(tokens: int) -> str:
    """So many tokens, every third of them a piece of the word before."""
    letters = [LETTERS[(i * i + i) % 10] for i in range(tokens)]
    return "".join(letter if i % 3 == 2 or i == 0 else f" {letter}" for i, letter in enumerate(letters))


def main() -> None:
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(VOCAB))
        for side in ["right", "left"]:
            tokenizer = BertTokenizerFast(vocab=str(path), truncation_side=side)
            for tokens in [0, 1, 5, 6, 7, 8, 9, 10, 12, 13, 29]:
                for max_length, stride in [(8, 0), (8, 2), (8, 5), (3, 0), (12, 3)]:
                    text = text_of(tokens)
                    encoded = tokenizer(
                        text, truncation=True, max_length=max_length, stride=stride, return_overflowing_tokens=True
                    )
                    assert len(tokenizer(text)["input_ids"]) == tokens + 2
                    case = {"side": side, "text": text, "max_length": max_length, "stride": stride}
                    cases.append(case | {"windows": encoded["input_ids"]})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    FIXTURE.write_text(f'{{"vocab": {json.dumps(VOCAB)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
