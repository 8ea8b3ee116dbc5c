"""Make tests/golden/behaviour.jsonl: what a real kube-apiserver answered to chosen requests, as one compact table.

    python hack/update_behaviour.py RECORDED.json

Identities that differ from run to run (uids, times, resource versions, generated names) become names in the order of
their first appearance in a scenario (``tests.behaviour.Normaliser``), so that what was equal stays equal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.behaviour import GOLDEN, Normaliser


def main(recorded: Path) -> None:
    scenarios: dict[str, list[dict[str, Any]]] = json.loads(recorded.read_text())
    lines = []
    for scenario, exchanges in scenarios.items():
        normalise = Normaliser()
        for exchange in exchanges:
            line = {
                "scenario": scenario,
                "method": exchange["method"],
                "path": exchange["path"],
                "headers": exchange["headers"],
                "type": exchange["content_type"],
                "body": exchange["body"],
                "status": exchange["status"],
                "answerType": exchange["response_type"],
                "answer": normalise(exchange["response"]),
            }
            lines.append(json.dumps({key: value for key, value in line.items() if value not in (None, {})}))
    GOLDEN.write_text("\n".join(lines) + "\n")
    print(f"{GOLDEN.name}: {len(lines)} exchanges in {len(scenarios)} scenarios")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
