"""Shows that Python's huggingface_hub and bertune share one cache. test/hub/cache.ts runs it when BERTUNE_PYTHON names a
Python with huggingface_hub (2.4.0 was used).

Usage: hub_cache.py find|download TYPE ID FILE...    prints the local path of each file as a JSON list

`find` forbids any request, so what it prints was found in the cache (HF_HUB_CACHE) alone; `download` takes the
files from HF_ENDPOINT, so that the folder it leaves can be compared with ours.
"""

import json
import os
import sys

mode, repo_type, repo_id, *files = sys.argv[1:]
if mode == "find":
    os.environ["HF_HUB_OFFLINE"] = "1"

from huggingface_hub import hf_hub_download, snapshot_download  # noqa: E402

paths = [hf_hub_download(repo_id, file, repo_type=repo_type) for file in files]
snapshot_download(repo_id, repo_type=repo_type, allow_patterns=files)
print(json.dumps(paths))
