"""Atomic words, here only as atomic as one thread is."""

from __future__ import annotations

import mmap

from shm.layout import structure
from shm.reference.common import MAX_WORD, Array, Role, check_word, index_of


class Words(Role):
    """A group of named 64-bit words."""

    def __init__(self, name: str, mapping: mmap.mmap, offset: int, names: tuple[str, ...]) -> None:
        super().__init__(name, mapping, None)
        self._offset = offset
        self._names = names

    def load(self, word: str) -> int:
        """Return a word's value."""
        return int(self._at(word)[0])

    def store(self, word: str, value: int) -> None:
        """Set a word's value."""
        self._at(word)[0] = check_word(f"{self.name}: a value", value)

    def fetch_add(self, word: str, n: int) -> int:
        """Add modulo 2**64; return the value before."""
        before = self.load(word)
        self.store(word, (before + check_word(f"{self.name}: a value", n)) & MAX_WORD)
        return before

    def compare_and_swap(self, word: str, expected: int, desired: int) -> int:
        """Set it to `desired` if it is `expected`; return the value before, which tells."""
        before = self.load(word)
        if before == check_word(f"{self.name}: a value", expected):
            self.store(word, desired)
        return before

    def _at(self, word: str) -> Array:
        words = self.array(structure("PaddedWord"), len(self._names), self._offset)["value"]
        index = index_of(self.name, self._names, word)
        return words[index : index + 1]
