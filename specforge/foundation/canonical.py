"""Canonical JSON and digests: equal values give equal bytes, on every machine and in every process.

Keys sorted, no spaces, UTF-8, floats by shortest round trip, no NaN. Everything that is compared by digest goes through
here, so that the recipe exists once.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue


def canonical_json(value: JsonValue) -> bytes:
    """Return the one spelling of a JSON value.

    Raises:
        ValueError: for NaN and infinities, which have no JSON spelling.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: JsonValue) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return digest_bytes(canonical_json(value))
