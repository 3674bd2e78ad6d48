#!/usr/bin/env bash
# Guess: aggregation_strategy="first" of the token classification pipeline joins the tokens of a word, and any white space ends one.
# Seen: transformers 5.18.0 looks for a blank alone where the tokenizer has no continuing_subword_prefix (BPE, Unigram). Words with a
# line break, a tab or a no-break space between them are one, so that a place below a name has the label of the name.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 tokenizers==0.23.3 numpy torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu
venv/bin/python - <<'PY'
from types import SimpleNamespace
import numpy as np
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

print("transformers", transformers.__version__)
words = Tokenizer(models.Unigram([("<unk>", 0.0), ("Ada", -1.0), ("London", -1.0)], unk_id=0))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
pipeline.tokenizer = tokenizer
pipeline.model = SimpleNamespace(config=SimpleNamespace(id2label={0: "B-PER", 1: "B-LOC"}))


def entities(text):
    encoding = tokenizer(text, return_offsets_mapping=True)
    scores = np.array([[0.9, 0.1], [0.1, 0.9]])
    first = AggregationStrategy.FIRST
    tokens = pipeline.gather_pre_entities(text, encoding["input_ids"], scores, encoding["offset_mapping"], np.zeros(2), first)
    return [(one["entity_group"], one["word"]) for one in pipeline.aggregate(tokens, first)]


seen = {between: entities(f"Ada{between}London") for between in (" ", "\n", "\t", "\u00a0")}
print(seen)
assert seen[" "] == [("PER", "Ada"), ("LOC", "London")]
assert all([label for label, _ in seen[between]] == ["PER"] for between in ("\n", "\t", "\u00a0"))
PY
