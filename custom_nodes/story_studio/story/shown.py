"""What a prompt seems to show, by its words: people, and faces too small to speak.

Only prompts in English are judged, and only where a word says it: a false alarm teaches to overlook warnings.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH = _words(
    """
    the a an of with and at from his her their in on by
    """
)
"""Words without which hardly any English sentence of a prompt is written."""
_FOREIGN = _words(
    """
    der die das und ein eine mit auf le la les des un une avec dans el los las con una il della che een het
    och med jest z w na
    """
)
_PEOPLE = _words(
    """
    person people man men woman women boy boys girl girls child children kid kids baby toddler teen teenager
    lady gentleman guy human figure adult elder couple crowd family mother father mom dad mum son daughter
    brother sister grandmother grandfather grandma grandpa aunt uncle husband wife bride groom widow twin
    twins friend friends stranger hero heroine narrator host anchor speaker character protagonist portrait
    selfie face faces eyes hair beard moustache mustache smile cheeks lips he she him his her hers they i
    you who someone somebody king queen prince princess knight monk nun priest witch wizard elf fairy angel
    ghost pirate thief chef cook nurse doctor surgeon judge pilot guard soldier captain athlete musician
    politician student pupil detective clerk spy scientist chemist artist dentist journalist pianist guide
    coach bard scout sage robot android cyborg puppet doll mannequin statue alien monster vampire skeleton
    snowman mascot avatar animal cat kitten dog puppy fox bear wolf lion tiger horse rabbit mouse owl bird
    parrot frog dragon monkey elephant squirrel hedgehog pig cow goat sheep duck penguin mage
    ceo smiling looking talking speaking singing says tells explains
    """
)
_THINGS = _words(
    """
    abundant after amber anchor another ant barrier bee beer boiler border boulder brighter brightness
    brilliant butter camera career center chamber chandelier cinder cloudless coffee colder color colour
    computer constant copper corner corridor counter cover cucumber cutter darker darkness december decor
    deeper deer dinner distant door drawer dress either elegant ember endless exist exterior feather fee
    fiber fibre filter finger fist floor flower flutter for former free freighter giant ginger glacier glass
    glitter greater gutter hammer harbor harbour higher horror hover humidor hyper important indoor inner
    instant interior knee ladder lantern larger later latter layer leather letter list lower lumber major
    meridian mess minor mirror mist monitor moonless motor mountain neither never nor november number
    obsidian ocean october or order other outdoor outer over paper pasture peer per persist pier plain plant
    pleasant poor powder press printer process projector proper quarter radiant rain rather reactor
    remainder reminder render resist river roller rubber scatter see sensor september shader shelter shimmer
    shoulder shutter significant silver slender smaller softer solder steamer stillness summer super supper
    sweater tanker tender theater theatre three thunder timber timeless together tower tractor trailer tree
    twist under upper vapor vapour vibrant water weather wilderness winter wrist
    """
)
"""Words that end as those of people do."""
_SUFFIXES = ("man", "woman", "men", "women", "er", "or", "ist", "ian", "ess", "eer", "ant", "ee")
"""Of nouns for people: fisherman, keeper, sailor, pianist, musician, waitress, engineer, assistant."""
_CLOSE = re.compile(
    r"close[- ]?ups?|portraits?|(chest|waist|shoulders?)[- ]up|head[- ]and[- ]shoulders|head ?shots?|\bbust\b"
    r"|medium[- ](close|shot)|mid[- ]?shot|talking head|selfie|\bfaces? (fills?|in view|evenly|lit|close)"
    r"|facing (the )?(camera|viewer)|(at|to|into) (the )?(camera|lens|viewer)",
    re.IGNORECASE,
)
_SMALL = re.compile(
    r"\b(((extreme|very|ultra)[- ])?wide[- ]?(shot|view|angle)|(long|establishing) shot|aerial|drone"
    r"|from afar|bird'?s[- ]?eye|from (far )?above|in the (far )?distance|distant|far away|tiny figure"
    r"|silhouettes?d?|crowds?|panoram\w+|full[- ](body|length)|(seen )?from (behind|the back)"
    r"|over[- ]the[- ]shoulder|back (turned )?to (the )?(camera|viewer|us))\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def is_english(prompt: str) -> bool:
    """Whether a prompt has words that English prompts have, and none that they have not."""
    words = {word.lower() for word in _WORDS.findall(prompt)}
    return prompt.isascii() and bool(words & _ENGLISH) and len(words & _FOREIGN) < 2


def names_somebody(prompt: str) -> bool:
    """Whether a prompt may show somebody who can speak, as far as its words tell."""
    words = _WORDS.findall(prompt)
    # Within a sentence, a capital begins a name.
    has_name = any(word[0].isupper() and word[1:].islower() for word in words[1:])
    lower = {word.lower().removesuffix("'s").removesuffix("’s") for word in words}
    return has_name or any(_is_person(word) for word in lower)


def small_face(prompt: str) -> str:
    """The words of a prompt by which a face is likely too small or turned away; empty if a closer view is
    asked for, too."""
    match = _SMALL.search(prompt)
    return match[0].lower() if match and not _CLOSE.search(prompt) else ""


def _is_person(word: str) -> bool:
    forms = {word, word.removesuffix("s")}
    if forms & _PEOPLE:
        return True
    return not forms & _THINGS and any(form.endswith(_SUFFIXES) for form in forms)
