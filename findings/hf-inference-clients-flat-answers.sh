#!/usr/bin/env bash
# Guess: Hugging Face's clients read the answer of a text classification as its specification in @huggingface/tasks (and
# text-embeddings-inference's /predict) has it for one text: a flat list, [{"label", "score"}, ...].
# Seen: both want that list in another one. huggingface_hub 2.4.0 gives the first label alone, in place of a list and without an
# error; @huggingface/inference 4.13.30 throws, with a message that asks for the very form it refuses.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q huggingface_hub==2.4.0
npm init -y >/dev/null
npm install --silent --no-fund --no-audit @huggingface/inference@4.13.30
cat >client.mjs <<'JS'
import { InferenceClient } from '@huggingface/inference';
const ask = (path) =>
  new InferenceClient()
    .endpoint(process.argv[2] + path)
    .textClassification({ inputs: 'a film' })
    .catch(({ message }) => message);
console.log(JSON.stringify([await ask('/flat'), await ask('/nested')]));
JS
HF_HOME="$PWD/cache" venv/bin/python - <<'PY'
import json, subprocess, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
import huggingface_hub

labels = [{"label": "pos", "score": 0.9}, {"label": "neg", "score": 0.1}]

class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(labels if self.path == "/flat" else [labels]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
python = {
    path: huggingface_hub.InferenceClient(url + path).text_classification("a film") for path in ("/flat", "/nested")
}
print("huggingface_hub", huggingface_hub.__version__, python)
element = huggingface_hub.TextClassificationOutputElement
assert isinstance(python["/flat"], element) and python["/flat"].label == "pos"
assert [one.label for one in python["/nested"]] == ["pos", "neg"]
flat, nested = json.loads(subprocess.check_output(["node", "client.mjs", url]))
print("@huggingface/inference", [flat, nested])
assert nested == labels
assert "expected Array<{label: string, score: number}>" in flat
PY
