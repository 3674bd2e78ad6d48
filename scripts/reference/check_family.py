"""Loads folders that bertune saved, models or adapters, with transformers and PEFT, and prints, as JSON, how each was
loaded and its logits for a few token id sequences.

    python scripts/reference/check_family.py '[["DIR", null], ["BASE", "ADAPTER"]]' --ids '[[0, 23, 2], [0, 2]]'
"""

import argparse
import json
import warnings

import torch
from transformers import AutoModelForSequenceClassification


def check(directory: str, adapter: str | None, ids: list[list[int]]) -> dict:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model, info = AutoModelForSequenceClassification.from_pretrained(directory, output_loading_info=True)
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([sequence])).logits[0].tolist() for sequence in ids]
    return {
        "class": type(model.get_base_model() if adapter is not None else model).__name__,
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "mismatched": sorted(str(key) for key in info["mismatched_keys"]),
        "warnings": [str(warning.message) for warning in caught],
        "logits": logits,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=json.loads, help="pairs of a model folder and an adapter folder or null")
    parser.add_argument("--ids", type=json.loads, required=True, help="sequences of token ids, a JSON list of lists")
    arguments = parser.parse_args()
    print(json.dumps([check(directory, adapter, arguments.ids) for directory, adapter in arguments.folders]))


if __name__ == "__main__":
    main()
