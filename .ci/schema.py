"""Write the JSON Schema and the table of keys of architecture files, or check that they are fresh.

python .ci/schema.py check | update
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from accelsim.config.schema import architecture_schema, dram_table, key_table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guide" / "architecture.md"
SCHEMA = ROOT / "arch_configs" / "schema.json"
TABLES = {"keys": key_table, "dram": dram_table}  # between marks of these names


def generated() -> dict[Path, str]:
    """Return what the generated files should hold."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: make schema -->", f"<!-- end of {name} -->"
        head, _, rest = page.partition(begin)
        page = f"{head}{begin}\n{table()}\n{end}{rest.partition(end)[2]}"
    return {
        SCHEMA: json.dumps(architecture_schema(), indent=2, ensure_ascii=False) + "\n",
        PAGE: page,
    }


def main() -> None:
    """Check or update."""
    for path, text in generated().items():
        if sys.argv[1:] == ["update"]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{path.relative_to(ROOT)} is stale: make schema")


if __name__ == "__main__":
    main()
