"""Makes a PEFT adapter on a saved BERT, or loads one, and prints as JSON its logits for a few token id sequences.

    python scripts/reference/peft_adapter.py make BASE DIR --ids '[[101, 2023, 102], [101, 102]]'
    python scripts/reference/peft_adapter.py load BASE DIR --ids ...

Needs peft beside requirements.txt.
"""

import argparse
import json

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertForSequenceClassification


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "load"])
    parser.add_argument("base")
    parser.add_argument("directory")
    parser.add_argument("--ids", type=json.loads, required=True)
    parser.add_argument("--targets", type=json.loads, default=["key", "intermediate.dense"])
    arguments = parser.parse_args()
    base = BertForSequenceClassification.from_pretrained(arguments.base)
    if arguments.action == "make":
        torch.manual_seed(1)
        lora = LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=5, target_modules=arguments.targets)
        model = get_peft_model(base, lora)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.2)
        model.save_pretrained(arguments.directory)
    else:
        model = PeftModel.from_pretrained(base, arguments.directory)
    model.eval()
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([ids])).logits[0].tolist() for ids in arguments.ids]
    print(json.dumps(logits))


if __name__ == "__main__":
    main()
