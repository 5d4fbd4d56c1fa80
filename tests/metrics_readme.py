"""Holds the README's table of metrics against the catalogue that the program prints.

  SEMAPHORE_GATEWAY=… /usr/bin/python3 -B tests/metrics_readme.py [--write]
With --write it is put right instead.
"""

import json
import os
import pathlib
import subprocess
import sys

BEGIN, END = "<!-- metrics: begin, written by tests/metrics_readme.py -->\n", "<!-- metrics: end -->\n"
README = pathlib.Path(__file__).parent.parent / "README.md"


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def table(families):
    lines = ["| family | type | labels | what it says |", "|---|---|---|---|"]
    for family in families:
        labels = ", ".join(family["labels"])
        level = f" Only at `metrics.level` {family['level']}." if family.get("level") in ("block", "job") else ""
        lines.append(f"| `{family['name']}` | {family['type']} | {labels} | {cell(family['help'])}{level} |")
    return "\n".join(lines) + "\n"


def main():
    printed = subprocess.run([os.environ["SEMAPHORE_GATEWAY"], "metrics-catalog"], check=True, capture_output=True,
                             timeout=60)
    families = json.loads(printed.stdout)
    wanted = "\n".join(["", "`/metrics/ci`, facts about CI:", "",
                        table(f for f in families if f["scope"] == "ci"),
                        "`/metrics`, the gateway itself:", "",
                        table(f for f in families if f["scope"] == "gateway"), ""])
    readme = README.read_text()
    before, begin, rest = readme.partition(BEGIN)
    present, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{README}: the two lines around the table are missing")
    if sys.argv[1:] == ["--write"]:
        README.write_text(before + begin + wanted + end + after)
    elif present != wanted:
        sys.exit(f"{README}: the table of metrics is not what the program exports; run tests/metrics_readme.py --write")


if __name__ == "__main__":
    main()
