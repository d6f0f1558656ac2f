"""Sentences in fifteen scripts, as people type them: with typographic quotes, numbers, names and marks."""

from __future__ import annotations

from random import Random

WORDS = {
    "Latin": "shouldn’t the storm’s l’été aujourd’hui Straße naïve kitabı łódź co-operate don't",
    "Greek": "ο παλιός φάρος στη θάλασσα μ’ένα λυχνάρι",
    "Cyrillic": "старый маяк у моря об’єкт лампа ёлка",
    "Armenian": "հին փարոսը ծովի մոտ լապտեր",
    "Georgian": "ძველი შუქურა ზღვასთან ლამპა",
    "Hebrew": "המגדלור הישן ליד הים צה״ל ג׳ירפה שָׁלוֹם",
    "Arabic": "المنارة القديمة بجانب البحر مِصْباح می\u200cخواهم",
    "Devanagari": "पुराना प्रकाशस्तंभ समुद्र के किनारे क्षत्रिय",
    "Bengali": "পুরানো বাতিঘর সমুদ্রের ধারে",
    "Tamil": "பழைய கலங்கரை விளக்கம் கடல்",
    "Thai": "ประภาคารเก่าริมทะเล ชายชรา น้ำ ผู้ดูแล",
    "Ethiopic": "አሮጌው የመብራት ቤት ባሕር",
    "Hangul": "바닷가의 오래된 등대와 등대지기",
    "Han": "海边的老灯塔 守灯人 暴风雨",
    "Kana": "海辺の古い灯台 ランプを持っている トーキョー",
}
UNSPACED = ("Thai", "Han", "Kana")
_EXTRAS = (
    "Anna",
    "(LED)",
    "12\u00a0%",
    "3,000.5",
    "👩\u200d🚀",
    "«oui»",
    "“no”",
    "—",
    "&",
    "<3",
    "https://x.y/z",
    "#1",
)
_ENDS = (".", "!", "?", "…", "。", "؟", "।", ",", " —")


def sentence(rng: Random, script: str) -> str:
    """A sentence of up to 40 words, sometimes with what is not of its script."""
    words = WORDS[script].split()
    chosen = [rng.choice(_EXTRAS if rng.random() < 0.12 else words) for _ in range(rng.randint(1, 40))]
    space = "" if script in ("Han", "Kana") else " "
    return space.join(chosen) + rng.choice(_ENDS)
