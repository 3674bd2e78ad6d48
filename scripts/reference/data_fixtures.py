"""Writes test/fixtures/data: files by pyarrow, datasets, Python's csv and the zstd command, and what they hold.

    python scripts/reference/data_fixtures.py      (needs pyarrow, datasets, and zstd on the PATH)
"""

import base64
import csv
import io
import json
import random
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Sequence, Value

OUT = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "data"
PIECES = ["a", "Zürich", "𠀀", "👍🏽", "word", ",", '"', "\n", "\t", " ", "\\", "|", ";", "'", "é", "\u2028", "ΟΔΟΣ", "0", "#"]


def random_text(rng: random.Random) -> str:
    while True:
        text = "".join(rng.choices(PIECES, k=rng.randint(1, 30)))
        if text.strip():
            return text


def rows(count: int) -> list[dict]:
    rng = random.Random(0)
    return [{"id": i, "text": random_text(rng), "label": rng.choice(["ham", "spam", "x,y"])} for i in range(count)]


def write_csv(name: str, data: list[dict], delimiter: str, line_end: str, bom: bool) -> list[int]:
    """Returns the physical line, from 1, on which each record starts."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(["id", "text", "label"])
    lines = []
    for row in data:
        lines.append(out.getvalue().count("\n") + 1)
        writer.writerow([row["id"], row["text"], row["label"]])
    (OUT / name).write_bytes(out.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    return lines


ENCODED = {
    "windows-1252": ["C’était une très belle soirée, mais le café était froid.", "Größe: 5 € – „überraschend schön“, süß", "¿Qué pasó ayer? ¡Qué película tan mala!"],
    "windows-1250": ["Książka była świetna, ale źle się skończyła.", "Zboží přišlo včas a v pořádku, žádné potíže.", "Dziękuję za szybką przesyłkę, będę polecać."],
    "iso-8859-2": ["Książka była świetna, ale źle się skończyła.", "Jestem bardzo zadowolony, książkę polecam wszystkim.", "Dziękuję za szybką przesyłkę, będę polecać."],
    "windows-1251": ["Очень хороший фильм, всем советую.", "Сюжет скучный, актёры играли плохо.", "Доставка быстрая, спасибо."],
    "koi8-r": ["Очень хороший фильм, всем советую.", "Сюжет скучный, актёры играли плохо.", "Доставка быстрая, спасибо."],
    "windows-1253": ["Η ταινία ήταν πολύ καλή.", "Οι ηθοποιοί έπαιξαν υπέροχα.", "Την προτείνω σε όλους."],
    "windows-1254": ["Film çok güzeldi, teşekkür ederim.", "Sonu beni hayal kırıklığına uğrattı.", "Şimdi gidiyorum, görüşürüz."],
    "windows-1255": ["הסרט היה טוב מאוד", "השחקנים היו נהדרים", "אני ממליץ לכולם לראות אותו"],
    "windows-1256": ["كان الفيلم جيدا جدا", "والممثلون كانوا رائعين", "أنصح الجميع بمشاهدته في السينما"],
    "shift_jis": ["この映画はとても面白かったです。", "俳優の演技も素晴らしかった、ソ能表。", "また見たいと思います。"],
    "euc-jp": ["この映画はとても面白かったです。", "俳優の演技も素晴らしかった。", "また見たいと思います。"],
    "gb18030": ["这部电影非常好看，推荐大家去看。", "服务态度也很好，下次还会再来。𠀀", "演员的表演很精彩。"],
    "big5": ["這部電影非常好看，推薦大家去看。", "服務態度也很好，下次還會再來。", "演員的表演很精彩，功蓋許。"],
    "euc-kr": ["이 영화는 정말 재미있었습니다.", "배우들의 연기도 훌륭했고", "다시 보고 싶습니다."],
    "utf-16": ["Größe 👍🏽 𠀀 \ufffd", "一二三, \"x\"", "plain"],
    "utf-16-be": ["Größe 👍🏽 𠀀 \ufffd", "一二三, \"x\"", "plain"],
    "utf-32": ["Größe 👍🏽 𠀀 \ufffd", "一二三, \"x\"", "plain"],
}


def write_encodings() -> None:
    """The texts as Python's codecs encode them, without line ends, in base64."""
    written = {
        name: [{"text": text, "bytes": base64.b64encode(text.encode(name)).decode()} for text in texts]
        for name, texts in ENCODED.items()
    }
    (OUT / "encodings.json").write_text(json.dumps(written, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def invalid_utf8_strings() -> pa.Array:
    offsets = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 4, 8)))
    return pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"good\xff\xfeok")])


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    write_encodings()
    data = rows(120)
    lines = write_csv("random.csv", data, ",", "\n", bom=False)
    write_csv("random-crlf-bom.csv", data, ",", "\r\n", bom=True)
    write_csv("random.tsv", data, "\t", "\n", bom=False)
    with open(OUT / "expected.jsonl", "w", encoding="utf-8") as expected:
        for row, line in zip(data, lines):
            expected.write(json.dumps({**row, "line": line}, ensure_ascii=False) + "\n")

    table = pa.Table.from_pylist(data)
    for codec in ("snappy", "gzip", "zstd"):
        pq.write_table(table, OUT / f"{codec}.parquet", compression=codec, row_group_size=50)
    scores = pa.table({"sentence1": ["a b", "c d", "e"], "sentence2": ["a", "c", "f"], "label": [1.0, 3.8, 5.0]})
    pq.write_table(scores, OUT / "scores.parquet")
    pq.write_table(pa.table({"text": invalid_utf8_strings(), "label": [0, 1]}), OUT / "bad-utf8.parquet")

    names = ClassLabel(names=["neutral", "joy", "anger"])
    texts = {"text": ["one", "two", "three"]}
    single = Features({"text": Value("string"), "label": names})
    Dataset.from_dict({**texts, "label": [2, 0, -1]}, features=single).to_parquet(str(OUT / "class-label.parquet"))
    many = Features({"text": Value("string"), "labels": Sequence(names)})
    Dataset.from_dict({**texts, "labels": [[1, 2], [], [0]]}, features=many).to_parquet(str(OUT / "lists.parquet"))

    # Two frames, as zstd's command and pzstd write when files are joined.
    frames = [subprocess.run(["zstd", "-q", "-c"], input=part, capture_output=True, check=True).stdout for part in halves()]
    (OUT / "two-frames.csv.zst").write_bytes(b"".join(frames))


def halves() -> list[bytes]:
    whole = (OUT / "random.csv").read_bytes()
    return [whole[: len(whole) // 2], whole[len(whole) // 2 :]]


if __name__ == "__main__":
    main()
