"""The training text of the licence decoder, and its character vocabulary.

The text is the GNU licences that every Debian machine keeps in /usr/share/common-licenses, each paragraph on one line.
"""

import re
from pathlib import Path

FOLDER = Path("/usr/share/common-licenses")
NAMES = ["GPL-1", "GPL-2", "GPL-3", "LGPL-2", "LGPL-2.1", "LGPL-3"]
VOCABULARY = ["\n"] + [chr(c) for c in range(0x20, 0x7F)]
PROMPT = "This program is free software"


def encode(text):
    """Token ids of text; a character outside the vocabulary is a KeyError."""
    ids = {token: i for i, token in enumerate(VOCABULARY)}
    return [ids[c] for c in text]


def decode(ids):
    """The text of token ids."""
    return "".join(VOCABULARY[i] for i in ids)


def licence_text():
    """All licences as one text: a line a paragraph, runs of blanks as one, characters outside ASCII dropped."""
    paragraphs = []
    for name in NAMES:
        text = (FOLDER / name).read_text(encoding="utf-8", errors="ignore")
        text = re.sub(r"[^\n\x20-\x7e]", " ", text)
        for paragraph in re.split(r"\n\s*\n", text):
            line = " ".join(paragraph.split())
            if line:
                paragraphs.append(line)
    return "\n".join(paragraphs) + "\n"
