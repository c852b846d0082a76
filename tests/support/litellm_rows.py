"""Extract the rows of our models from LiteLLM's model table: facts only, for a test that compares both tables.

LiteLLM is too heavy to install for one test. To refresh the file, unpack its wheel (`pip download --no-deps litellm`)
and run `python -m tests.support.litellm_rows VERSION path/to/model_prices_and_context_window_backup.json`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from routing.catalogue import load_catalogue

ROWS = Path(__file__).parents[1] / "unit" / "routing" / "litellm_rows.json"
NAMES = {
    "gemini": "gemini/{}",
    "anthropic": "{}",
    "openai": "{}",
    "voyage": "voyage/{}",
    "deepgram": "deepgram/streaming/{}",
    "elevenlabs": "elevenlabs/{}",
}
NAMED_OTHERWISE = {"nova-3-multi": "deepgram/streaming/nova-3-multilingual"}
_FACTS = re.compile(
    r"max_(input|output)_tokens|deprecation_date|successor_model|prompt_cache_min_tokens|thinking_always_on"
    r"|supports_(assistant_prefill|sampling_params|forced_tool_use|function_calling|response_schema|vision|reasoning"
    r"|(none|minimal|xhigh|max)_reasoning_effort)"
    r"|(input|output)_cost_per_token(_above_\d+k_tokens)?(_flex|_priority)?"
    r"|cache_(read|creation)_input_token_cost(_above_1hr)?(_above_\d+k_tokens)?(_flex|_priority)?"
    r"|input_cost_per_(second|character)"
)


def main(version: str, table: Path) -> None:
    """Write the file of rows."""
    published = json.loads(table.read_text("utf-8"))
    rows = {}
    for model in load_catalogue().models.values():
        row = published.get(NAMED_OTHERWISE.get(model.name, NAMES[model.vendor].format(model.name)))
        if row is not None:
            rows[model.name] = {name: _fact(value) for name, value in sorted(row.items()) if _FACTS.fullmatch(name)}
    document = {"package": "litellm", "version": version, "read": dt.date.today().isoformat(), "models": rows}
    ROWS.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _fact(value: Any) -> Any:
    """Return a price as text without an exponent, so that it stays exact; any other fact as it is."""
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else value


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
