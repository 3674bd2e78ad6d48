"""Writes test/fixtures/globs.json: which paths fsspec's patterns match (fsspec 2026.4 was used).

Usage: globs.py
"""

import json
import re
from pathlib import Path

import fsspec
from fsspec.utils import glob_translate

PATTERNS = [
    "a.csv", "*", "**", "*.csv", "**/*.csv", "a/**", "a/**/c.csv", "**/b/**", "**/b/*", "a/*/c.csv", "?.csv", "a?csv",
    "[ab].csv", "[!ab].csv", "[^ab].csv", "[a-c].csv", "[c-a].csv", "[]a].csv", "[!]a].csv", "[].csv", "[a.csv", "[]", "a[-]b",
    "[a-].csv", "[-a].csv", "[a-cx-z].csv", "[&^~|].csv", "[\\].csv", "{a,b}.csv", "a+.csv", "(a).csv", "$a^.csv", "a**.csv",
    "**a.csv", "*a*b*", "data/train-*", "data/*-of-*.parquet", "*/*", "*/*/*", "**/**", "**/**/a.csv", "a/", "*a*a*a*a*b",
]  # fmt: skip
PATHS = [
    "a.csv", "b.csv", "c.csv", "x.csv", "-.csv", "].csv", "^.csv", "&.csv", "\\.csv", "[a.csv", "[].csv", "[]", "a-b", "ab",
    "a/a.csv", "a/b.csv", "a/b/c.csv", "a/b/c/d.csv", "b/a.csv", "x/b/y", "a/c.csv", "a+.csv", "aa.csv", "(a).csv", "$a^.csv",
    "{a,b}.csv", "data/train-0", "data/train-0/x", "data/a-00000-of-00001.parquet", "a.csv.gz", "xaxbx", "aaaaab", "aaaab", "a",
    ".csv", "\u00fc.csv", "a\n.csv", "a/.csv",
]  # fmt: skip

matches = {}
for pattern in PATTERNS:
    try:
        compiled = re.compile(glob_translate(pattern))
    except (ValueError, re.error) as error:
        matches[pattern] = None
        print(f"{pattern}: {error}")
        continue
    matches[pattern] = [path for path in PATHS if compiled.match(path)]

fixture = {"generator": f"fsspec {fsspec.__version__}", "paths": PATHS, "matches": matches}
target = Path(__file__).parents[2] / "test" / "fixtures" / "globs.json"
target.write_text(json.dumps(fixture, indent=1) + "\n")
