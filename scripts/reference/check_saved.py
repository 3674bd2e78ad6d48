"""Loads a folder that bertune saved with transformers and prints, as JSON, what from_pretrained reports for
it and the logits of a few token id sequences.

    python scripts/reference/check_saved.py DIR --ids '[[101, 2023, 102], [101, 102]]'
"""

import argparse
import json
import warnings

import torch
from transformers import BertForSequenceClassification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--ids", type=json.loads, default=[], help="sequences of token ids, a JSON list of lists")
    parser.add_argument("--type-ids", type=json.loads, default=None, help="their token types, likewise; default 0")
    arguments = parser.parse_args()
    with warnings.catch_warnings(record=True) as caught:
        model, info = BertForSequenceClassification.from_pretrained(arguments.directory, output_loading_info=True)
    model.eval()
    types = arguments.type_ids or [[0] * len(ids) for ids in arguments.ids]
    with torch.no_grad():
        logits = [
            model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([kinds])).logits[0].tolist()
            for ids, kinds in zip(arguments.ids, types, strict=True)
        ]
    result = {
        "missing_keys": sorted(info["missing_keys"]),
        "unexpected_keys": sorted(info["unexpected_keys"]),
        "mismatched_keys": sorted(str(key) for key in info["mismatched_keys"]),
        "warnings": [str(warning.message) for warning in caught],
        "config": json.loads(model.config.to_json_string()),
        "logits": logits,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
