"""Reads a Parquet file of predictions with pyarrow and prints, as JSON, its column types, the rows of each row
group, and all rows.

    python scripts/reference/check_predictions.py FILE.parquet
"""

import json
import sys

import pyarrow.parquet as pq


def main() -> None:
    file = pq.ParquetFile(sys.argv[1])
    table = file.read()
    result = {
        "types": {field.name: str(field.type) for field in table.schema},
        "groups": [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)],
        "rows": table.to_pylist(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
