"""Bad specs: bombs made by hand, and valid specs with random damage.

`bombs` yields (name, bytes); `damaged` yields the bytes of a valid spec after a few random edits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

GOOD: Final = """\
specforge = 1
name = "small"

[task]
use = "translation"
source = "en"
target = "fr"

[data]
train = ["train", { path = "train", weight = 2.0 }]
valid = "valid"
test = { one = "valid" }

[tokenizer]
use = "sentencepiece"
vocab_size = 104

[model]
use = "transformer"
embed_dim = 64
attention_heads = 4
dropout = 0.1

[optimizer]
use = "adam"
lr = 2e-3
betas = [0.9, 0.98]

[lr_scheduler]
use = "inverse_sqrt"
warmup_updates = 80

[train]
max_updates = 440
validate_every = "110 updates"

[generate]
search = { use = "beam", beam = 2 }

[[generate.metrics]]
use = "bleu"
"""

NASTY: Final = "\x1b[31m", "\u202e", "\u2066", "\x07", "\r", "\x85", "\u2028", "\ufeff", "\x00", "\x9b2J", "\ud800"
"""What moves a cursor, rings, reverses text or ends lines; each of it in keys, values, paths and names of tables."""


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield bombs by name: what hurts a parser, a checker, a printer or a terminal."""
    yield from _deep()
    yield from _long()
    yield from _many()
    yield from _bytes()
    for nth, nasty in enumerate(NASTY):
        for place, text in _places(nasty):
            yield f"nasty {nth} in {place}", text.encode(errors="surrogatepass")


def _deep() -> Iterator[tuple[str, bytes]]:
    yield "brackets", b"a = " + b"[" * ((1 << 20) - 8)
    yield "closed brackets", b"a = " + b"[" * 100_000 + b"]" * 100_000
    yield "braces", b"a = " + b"{a=" * 100_000
    yield "headers", b"[" * 500_000
    yield "key of 10,000 parts", b".".join([b"a"] * 10_000) + b" = 1"
    yield "header of 10,000 parts", b"[" + b".".join([b"a"] * 10_000) + b"]"
    yield (
        "tables inside one another",
        b"\n".join(b"[" + b".".join([b"a"] * n) + b"]" for n in range(1, 16)) + b"\na" * 40,
    )
    yield (
        "dotted keys inside one another",
        b"a.a.a.a.a.a.a.a = { b.b.b.b.b.b.b.b = { c.c.c.c.c.c.c.c.c = { d.d.d.d.d = 1 } } }",
    )
    yield "alternating", b"a = " + b"[{b=" * 50_000


def _long() -> Iterator[tuple[str, bytes]]:
    for name, digits in (
        ("integer", b"9"),
        ("negative", b"-9"),
        ("zeros", b"1_0"),
        ("hexadecimal", b"0xf"),
        ("float", b"1.9"),
    ):
        yield f"giant {name}", GOOD.encode().replace(b"440", digits + digits[-1:] * 100_000)
    yield "giant exponent", GOOD.encode().replace(b"2e-3", b"1e" + b"9" * 300)
    yield "infinite", GOOD.encode().replace(b"2e-3", b"1e999")
    yield "beyond 64 bits", GOOD.encode().replace(b"440", b"99999999999999999999999")
    yield "long string", GOOD.encode().replace(b'"small"', b'"' + b"x" * 900_000 + b'"')
    yield "long path", GOOD.encode().replace(b'"valid"', b'"' + b"x" * 900_000 + b'"')
    yield "long component", GOOD.encode().replace(b'"transformer"', b'"' + b"x" * 900_000 + b'"')
    yield "long key", b'"' + b"x" * 900_000 + b'" = 1\n' + GOOD.encode()
    yield "long unit", GOOD.encode().replace(b"110 updates", b"1" * 900_000 + b" updates")
    yield "long extends", b'extends = "' + b"x" * 900_000 + b'"\n' + GOOD.encode()
    yield "long unset", b'unset = ["' + b"x." * 400_000 + b'"]\n' + GOOD.encode()
    yield "long bare key", b"x" * 900_000
    yield "larger than allowed", b"#" * (1 << 20) + b"\n"
    yield "open string", b'a = "' + b"x" * 900_000
    yield "open multi-line string", b'a = """' + b"x\n" * 450_000
    yield "open comment of quotes", b"a = '''" + b"''\"" * 300_000
    yield "escapes", b'a = "' + b"\\u0041" * 150_000
    yield "backslashes", b'a = "' + b"\\" * 900_001
    yield "bad escapes", b'a = "' + b"\\q" * 400_000 + b'"'
    yield "quotes", b"a = " + b'"' * 900_000
    yield "spaces", b"a =" + b" " * 900_000 + b"@"
    yield "line of junk", b"a = 1 " + b"z" * 150 + b" " + b"\xc3\xa9" * 400_000


def _many() -> Iterator[tuple[str, bytes]]:
    yield "100,000 keys", b"".join(b"k%d = 1\n" % n for n in range(70_000))
    yield "9,000 unknown keys", b"".join(b"k%d = 1\n" % n for n in range(9_000)) + GOOD.encode()
    yield (
        "9,000 keys that are near",
        GOOD.encode().replace(b"[train]", b"[train]\n" + _lines(b"max_update%d = 1", 9_000)),
    )
    yield "9,000 keys of the model", GOOD.encode().replace(b"dropout", _lines(b"dropout%d = 1", 9_000) + b"dropout")
    yield "3,000 tests", GOOD.encode().replace(b'test = { one = "valid" }', _lines(b'test.t%d = "absent"', 3_000))
    yield (
        "3,000 tests without a path",
        GOOD.encode()
        .replace(b'{ one = "valid" }', b"{ one.x = 1 }")
        .replace(b"[tokenizer]", _lines(b"[data.test.t%d]\nz = 1", 3_000) + b"[tokenizer]"),
    )
    yield "4,000 corpora", GOOD.encode().replace(b'["train",', b"[" + b'"absent", ' * 4_000)
    yield "4,000 wrong corpora", GOOD.encode().replace(b'["train",', b"[" + b"{ pth = 1 }, " * 3_000)
    yield "9,000 wrong numbers", GOOD.encode().replace(b"[0.9, 0.98]", b"[" + b'"a", ' * 9_000 + b"]")
    yield "3,000 metrics", GOOD.encode() + b'\n[[generate.metrics]]\nuse = "blue"' * 3_000
    yield "3,000 metrics without a name", GOOD.encode() + b"\n[[generate.metrics]]\nx = 1" * 3_000
    yield "9,000 dates", GOOD.encode() + _lines(b"k%d = 2024-01-01", 9_000)
    yield "9,000 unsets", b"unset = [" + b'"train.max_update", ' * 9_000 + b"]\n" + GOOD.encode()
    yield "9,000 extends", b"extends = [" + b'"absent.toml", ' * 9_000 + b"]\n" + GOOD.encode()
    yield "9,000 syntax slips", b"".join(b"k%d = yes\n" % n for n in range(9_000)) + GOOD.encode()
    yield "one key 9,000 times", b"k = 1\n" * 9_000 + GOOD.encode()
    yield "one table 9,000 times", GOOD.encode() + b"\n[train]" * 9_000
    yield "9,000 tables", GOOD.encode() + _lines(b"[t%d]", 9_000)
    yield "many parts", GOOD.encode() + _lines(b"a.b.c.d.e.f.g.h.i.j.k%d = 1", 800)


def _bytes() -> Iterator[tuple[str, bytes]]:
    text = GOOD
    yield "UTF-16", text.encode("utf-16")
    yield "UTF-16 without a mark", text.encode("utf-16-be")
    yield "UTF-32", text.encode("utf-32")
    yield "two marks", b"\xef\xbb\xbf\xef\xbb\xbf" + text.encode()
    yield "NUL", text.replace("small", "sm\0all").encode()
    yield "zeros", b"\0" * 100_000
    yield "Latin-1", text.replace("small", "caf\u00e9").encode("latin-1")
    yield "overlong", text.encode().replace(b"small", b"\xc0\xaf")
    yield "surrogate", text.encode().replace(b"small", b"\xed\xa0\x80")
    yield "beyond Unicode", text.encode().replace(b"small", b"\xf5\x80\x80\x80")
    yield "cut short", text.encode().replace(b"small", b"\xe2\x82")
    yield "random", random.Random(3).randbytes(200_000)
    yield "old line ends", text.replace("\n", "\r").encode()
    yield "empty", b""
    yield "blank", b"\n" * 500_000
    yield "an image", b"\x89PNG\r\n\x1a\n" + random.Random(4).randbytes(5_000)
    yield "JSON", b'{"specforge": 1, "task": {"use": "translation"}}'
    yield "YAML", b"specforge: 1\ntask:\n  use: translation\n"
    yield "Python", b'import os\nmodel = dict(use="transformer")\n'


def _places(nasty: str) -> Iterator[tuple[str, str]]:
    """Yield a name for each place where something nasty may stand, and the spec with it."""
    escaped = "".join(f"\\U{ord(character):08x}" for character in nasty)
    written = (("raw", nasty),) if "\ud800" in nasty else (("raw", nasty), ("escaped", escaped))
    for how, words in written:
        yield f"a key, {how}", GOOD.replace("dropout", f'"drop{words}out"')
        yield f"a value, {how}", GOOD.replace('"transformer"', f'"trans{words}former"')
        yield f"a path, {how}", GOOD.replace('"valid"', f'"va{words}lid"')
        yield f"a table, {how}", GOOD.replace("[model]", f'["mo{words}del"]')
        yield f"a name, {how}", GOOD.replace('"small"', f'"{words}"')
        yield f"extends, {how}", f'extends = "{words}.toml"\n{GOOD}'
        yield f"a choice, {how}", GOOD.replace("max_updates", f'precision = "{words}"\nmax_updates')
        yield f"the name of a test, {how}", GOOD.replace("{ one =", f'{{ "{words}" =')
    yield "a bare value", GOOD.replace('"transformer"', f"trans{nasty}former")
    yield "a comment", f"# {nasty}\nwrong = 1\n{GOOD}"
    yield "a line with a mistake", GOOD.replace("dropout = 0.1", f"droput = 0.1 # {nasty}")


def damaged(seed: int) -> bytes:
    """Return the good spec after one to six random edits."""
    chance = random.Random(seed)
    text = GOOD
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text))
        match chance.randrange(5):
            case 0:
                text = text[:at] + "".join(chance.choices("\"'[]{}=.,#\n\r\t \\01e-_xT:;(“\x1b\u202e", k=3)) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 20) :]
            case 2:
                source = chance.randrange(len(text))
                text = text[:at] + text[source : source + 30] + text[at:]
            case 3:
                lines = text.split("\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                text = "\n".join(lines)
            case _:
                words = text.split(" ")
                words[chance.randrange(len(words))] = chance.choice(
                    ("true", "-1", '""', "[]", "{}", "1e999", "nan", "x")
                )
                text = " ".join(words)
    return text.encode()


def _lines(template: bytes, count: int) -> bytes:
    return b"".join((template % n) + b"\n" for n in range(count))
