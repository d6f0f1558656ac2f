"""Line break opportunities in text of any language."""

from __future__ import annotations

import re

# Chinese and Japanese can break anywhere except before closing and after opening punctuation.
_IDEOGRAPH = "\u3005\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff"
_CLOSING, _OPENING = "、。，．：；？！”’」』）》】…ー", "“‘「『（《【"
_PART = re.compile(
    rf"[{_OPENING}]*(?:[{_IDEOGRAPH}]|[^\s{_IDEOGRAPH}{_OPENING}{_CLOSING}]+)?[{_CLOSING}]*\s*"
)


def parts(text: str) -> list[str]:
    """Splits text at all line break opportunities; each part includes a following space."""
    return [part for part in _PART.findall(" ".join(text.split())) if part]
