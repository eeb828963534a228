"""`python docker/make_env.py > docker/.env`: docker/.env.example with random values for all that must be secret."""

import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).with_name(".env.example")
FIRST_THAT_MAY_STAY_EMPTY = "NOTIFY_WEBHOOK_URL"


def filled(example: str) -> str:
    wanted, mark, rest = example.partition(f"{FIRST_THAT_MAY_STAY_EMPTY}=")
    lines = [f"{line}{_value(line[:-1])}" if line.endswith("=") else line for line in wanted.splitlines()]
    return "\n".join([*lines, ""]) + mark + rest


def _value(name: str) -> str:
    if name == "PREFECT_AUTH":
        return f"admin:{secrets.token_urlsafe(24)}"
    if name == "S3_ACCESS_KEY_ID":
        return secrets.token_hex(10).upper()
    return secrets.token_hex(32)


if __name__ == "__main__":
    sys.stdout.write(filled(EXAMPLE.read_text(encoding="utf-8")))
