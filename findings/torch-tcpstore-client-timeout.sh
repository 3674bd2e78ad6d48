#!/usr/bin/env bash
# Guess: a client of c10d's TCPStore that finds no store gives up after its timeout.
# Seen, torch 2.13.0: with 10 seconds and a port where nobody listens it gave up after 15 to 24, as what it waits between two
# attempts is not cut to what is left.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0 numpy==2.3.4
venv/bin/python - <<'PY' 2> log
import datetime, socket, time, torch

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
print("torch", torch.__version__)
seconds = []
for _ in range(3):
    started = time.monotonic()
    try:
        torch.distributed.TCPStore("127.0.0.1", port, 2, False, timeout=datetime.timedelta(seconds=10))
    except torch.distributed.DistNetworkError:
        seconds.append(time.monotonic() - started)
print("timeout 10 s, gave up after", [f"{each:.1f} s" for each in seconds])
assert len(seconds) == 3
assert max(seconds) > 11 and min(seconds) > 9, "it keeps to its timeout"
PY
