"""Byte-level byte-pair encoding, as GPT-2 does it: every byte is a printable character, and pairs merge by rank."""

import re
from itertools import pairwise

# As GPT-2's, but digits stand alone (SmolLM2); [^\W\d_] is "a letter" for Python's re.
PIECES = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def byte_characters():
    """The character that stands for each byte: itself where printable, else the next free one from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, free = {b: chr(b) for b in plain}, 0x100
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(free)
            free += 1
    return table


class Tokenizer:
    """Encodes text with a vocabulary (a list of tokens) and merges (a list of `left right`, best first)."""

    def __init__(self, tokens, merges):
        self.tokens = tokens
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.ranks = {tuple(merge.split(" ")): i for i, merge in enumerate(merges)}
        self.characters = byte_characters()
        self.bytes = {c: b for b, c in self.characters.items()}

    def merge(self, parts):
        """Merges the best-ranked pair again and again until none is left."""
        while len(parts) > 1:
            pairs = list(pairwise(parts))
            best = min(range(len(pairs)), key=lambda i: self.ranks.get(pairs[i], len(self.ranks)))
            if pairs[best] not in self.ranks:
                break
            parts = [*parts[:best], "".join(pairs[best]), *parts[best + 2:]]
        return parts

    def encode(self, text):
        """Token ids; special tokens are not recognised in the text."""
        ids = []
        for piece in PIECES.findall(text):
            parts = self.merge([self.characters[b] for b in piece.encode()])
            ids.extend(self.ids[part] for part in parts)
        return ids

    def decode(self, ids):
        """The text of token ids; bytes that are no UTF-8 become U+FFFD."""
        text = "".join(self.tokens[i] for i in ids)
        return b"".join(bytes([self.bytes[c]]) if c in self.bytes else c.encode() for c in text).decode(errors="replace")
