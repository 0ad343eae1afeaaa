"""Addresses that look like another: homoglyphs and mixed scripts, after Unicode Technical Standard 39.

The skeleton is only ever used to warn, never to find the account of a request: a fold that maps two people together is
how a stranger's address becomes an account's (CVE-2019-19844).
"""

from __future__ import annotations

import contextlib
import unicodedata
from functools import lru_cache

# Letters of other scripts that most fonts draw like the Latin one on the right; the part of UTS 39's confusables.txt
# that is a letter in some living script and lower case, capitals being folded first.
_LOOK_ALIKE = {
    "a": "а\u03b1ɑ⍺",
    "b": "Ьƅ",
    "c": "сϲᴄ",
    "d": "ԁɗ",
    "e": "еҽєɛε℮",
    "f": "ſẝք",
    "g": "ɡɢցᶃ",
    "h": "һհ",
    "i": "іıιɩɪӏǀ",
    "j": "јյϳ",
    "k": "кκᴋ",
    "l": "ⅼןǃ",
    "m": "мᴍ",
    "n": "пոռη",
    "o": "оοօσᴏ০๐",
    "p": "рρᴘ",
    "q": "ԛգ",
    "r": "гᴦⲅ",
    "s": "ѕꜱƽ",
    "t": "тτᴛ",
    "u": "υսᴜʋц",
    "v": "νѵᴠ",
    "w": "ԝѡɯաᴡω",
    "x": "хχ",
    "y": "уүγʏყ",
    "z": "ᴢʐ",
}
_FOLD = {ord(other): latin for latin, others in _LOOK_ALIKE.items() for other in others}
# In ASCII: a capital I and the digit one are drawn as l, a zero as o.
_ASCII = str.maketrans({"I": "l", "1": "l", "|": "l", "0": "o"})
_SEQUENCES = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def skeleton(address: str) -> str:
    """Give what an address looks like: two with the same skeleton are easily taken for one another."""
    local, _, domain = address.rpartition("@")
    text = f"{local}@{_unicode_domain(domain)}".translate(_ASCII)
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    folded = bare.lower().translate(_FOLD)
    for sequence, letter in _SEQUENCES:
        folded = folded.replace(sequence, letter)
    return folded


# Scripts that are written together in one word (UTS 39, section 5.1: the augmented sets for Japanese, Korean, Chinese).
_TOGETHER = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "HANGUL"}),
    frozenset({"HAN", "BOPOMOFO"}),
)


def mixed_scripts(address: str) -> tuple[str, ...]:
    """Give the scripts that one part of an address mixes, by name and sorted; empty when none does.

    Each part between dots, hyphens, plus signs and underscores is looked at alone: `ivanova.иванова` mixes nothing.
    Latin beside Chinese, Japanese or Korean is ordinary (UTS 39, level 4, highly restrictive).
    """
    local, _, domain = address.rpartition("@")
    text = f"{local}.{_unicode_domain(domain)}"
    for separator in "-+_@":
        text = text.replace(separator, ".")
    for part in text.split("."):
        scripts = {script for character in part if (script := _script(character))}
        if len(scripts) > 1 and not any(scripts - {"LATIN"} <= together for together in _TOGETHER):
            return tuple(sorted(script.capitalize() for script in scripts))
    return ()


@lru_cache(maxsize=2048)
def _script(character: str) -> str | None:
    """Give the script of a letter, by the beginning of its name: the standard library has no script property."""
    if not character.isalpha():
        return None
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "")
    script = name.partition(" ")[0].partition("-")[0]
    return "HAN" if script == "CJK" else script or None


def _unicode_domain(domain: str) -> str:
    labels = []
    for label in domain.split("."):
        if label.lower().startswith("xn--"):
            with contextlib.suppress(UnicodeError):
                label = label[4:].encode("ascii").decode("punycode")
        labels.append(label)
    return ".".join(labels)
