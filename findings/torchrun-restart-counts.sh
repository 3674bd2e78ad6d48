#!/usr/bin/env bash
# Guess: after a worker has failed, torchrun starts the workers of all machines again with the same TORCHELASTIC_RESTART_COUNT, so
# that it tells one attempt from another at the store, which keeps its address.
# Seen, torch 2.13.0: each agent counts for itself. Of two, that whose worker failed says 1 afterwards and the other one 0; MASTER_PORT
# is what it was.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet torch==2.13.0 numpy==2.3.4

cat > worker.py <<'PY'
import os, pathlib, sys, time

rank = os.environ["RANK"]
with open(f"seen-{rank}", "a") as seen:
    seen.write(f'{os.environ["TORCHELASTIC_RESTART_COUNT"]} {os.environ["MASTER_PORT"]}\n')
failed = pathlib.Path("failed")
if rank == "1" and not failed.exists():
    time.sleep(2)
    failed.touch()
    sys.exit(3)
time.sleep(8 if not failed.exists() else 1)
PY

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
agent() {
  venv/bin/torchrun --nnodes=2 --nproc-per-node=1 --max-restarts=2 --rdzv-backend=c10d --rdzv-id=finding \
    --rdzv-endpoint="127.0.0.1:$port" worker.py > "agent-$1" 2>&1
}
agent a & agent b & wait

python3 - <<'PY'
counts, ports = {}, set()
for rank in (0, 1):
    lines = [line.split() for line in open(f"seen-{rank}")]
    counts[rank] = [count for count, _ in lines]
    ports |= {port for _, port in lines}
    print(f"rank {rank}: TORCHELASTIC_RESTART_COUNT of its attempts {counts[rank]}, MASTER_PORT {sorted({port for _, port in lines})}")
last = {count[-1] for count in counts.values()}
assert all(len(count) == 2 for count in counts.values()), "both were started twice"
assert last == {"0", "1"}, "the two agents count differently"
assert len(ports) == 1, "the store keeps its port"
PY
