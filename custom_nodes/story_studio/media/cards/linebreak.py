"""Where text may break, in any language."""

from __future__ import annotations

import re

# Chinese and Japanese may break anywhere, but not before closing or after opening punctuation.
_IDEOGRAPH = "\u3005\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff"
_CLOSING, _OPENING = "、。，．：；？！”’」』）》】…ー", "“‘「『（《【"
_PART = re.compile(
    rf"[{_OPENING}]*(?:[{_IDEOGRAPH}]|[^\s{_IDEOGRAPH}{_OPENING}{_CLOSING}]+)?[{_CLOSING}]*\s*"
)


def parts(text: str) -> list[str]:
    """The smallest parts that a line may break between, each with the one space after it, if any."""
    return [part for part in _PART.findall(" ".join(text.split())) if part]
