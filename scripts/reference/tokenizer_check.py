#!/usr/bin/env python3
"""Checks that AutoTokenizer loads a tokenizer folder that bertune saved, and gives the same ids as bertune.

    python scripts/reference/tokenizer_check.py configs/quickstart-model

Prints the number of texts whose ids differ; exit code 1 unless it is 0. Needs `npm run build`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

from tokenizer import EDGE_CASES, ROOT, valid

# Saves the tokenizer again first, so that both sides are bertune's: the ids and the folder.
ENCODE = """
import { BertTokenizer } from './dist/tokenizer/index.js';
let input = '';
for await (const chunk of process.stdin) input += chunk;
const { source, target, texts } = JSON.parse(input);
const tokenizer = await BertTokenizer.fromPretrained(source);
await tokenizer.savePretrained(target);
console.log(JSON.stringify(texts.map((text) => Array.from(tokenizer.encode(text).ids))));
"""


def code_point_texts() -> list[str]:
    return [f"ab{chr(code)}cd {chr(code)}" for code in range(0x30000) if not 0xD800 <= code < 0xE000]


def main() -> None:
    texts = [valid(text) for text in EDGE_CASES] + code_point_texts()
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(sys.argv[1]).resolve())
        command = ["node", "--input-type=module", "--eval", ENCODE]
        request = json.dumps({"source": source, "target": folder, "texts": texts})
        result = subprocess.run(command, cwd=ROOT, input=request, capture_output=True, text=True, check=True)
        # transformers finds the class by the model's config.json, which belongs to the model.
        Path(folder, "config.json").write_text('{"model_type": "bert"}')
        ours, theirs = json.loads(result.stdout), AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]
    different = [text for text, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    print(f"{len(texts)} texts, {len(different)} with different ids")
    for text in different[:20]:
        print(" ", json.dumps(text))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
