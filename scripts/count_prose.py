"""Count what the writing rules limit in Markdown, docstrings and comments; `-v` lists forbidden openings and words."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

# Per group: words per sentence (river, stamina and dramatiq have 15 to 19), forbidden openings, forbidden words. The goal
# is 18, 0, 0. After you have rewritten a part, lower its numbers to those that this script prints; never raise one.
LIMITS = {"*.md": (11.0, 0, 0), "docs/**/*.md": (11.0, 0, 0), "src/**/*.py": (10.0, 0, 0), "packages/**/*.py": (11.0, 0, 0), "tests/**/*.py": (11.0, 0, 0), "scripts/**/*.py": (10.0, 0, 0), "bench/**/*.py": (11.0, 0, 0)}  # fmt: skip
BLOCKS = r"(?ms:^ *```.*?^ *```)|(?s:<!--.*?-->)|(?m:(?<=\n\n)(?:(?: {4}|\t).*\n?\n?)+|^#.*$|^\|[-|: ]+$)"
SPANS = r"``.+?``|`[^`]+`|https?:\S+|\]\([^)]*\)|\b\w+[./]\w[\w./-]*\b|\w*[a-z]_[a-z]\w*|\b[A-Z]+_[A-Z_]+\b"
SENTENCE = r"""(?<=[.!?])['")*_\]~]*\s+(?=['"(*_\[]*[A-Z~\d])|\n\s*\n|\n\s*(?=[-*] |\d+\. )|(?<!\\)\|"""
FORBIDDEN = r"^\W*(?:What|Who|Whether|Those|One)\b", r"(?i)\b(?:kept answers?|surroundings|own operations|arrivals|announc\w+|(?:is|are|was|were) told|waits? for a person|nobody's|allowance|by hand|foreign (?:refund|intent|event)s?|let(?:s|ting)? go|papers?|hearts?|till|desk|forerunner|mend(?:s|ed|ing)?|t(?:ak(?:e|es|en|ing)|ook) up|c(?:omes?|ame) about|bears?|stands? beside|gone on with|hardly ever|(?<!line )endings|cancell(?:ed|ing)|authoris\w+|behaviours?|colours?)\b"  # fmt: skip
DIRECTIVE = r"#+[!:]? *(?:(?:noqa|type|fmt|mypy|ruff)\b[^-]*(?:- )?)?"


def words(sentence: str) -> int:
    return len(re.findall(r"[^\W\d_][\w'-]*", sentence))


def sentences(text: str) -> Iterator[str]:
    """Yield sentences, with `~` for code. Single words are labels."""
    plain = re.sub(SPANS, "~", re.sub(BLOCKS, "\n\n", text))
    return (" ".join(found.split()) for found in re.split(SENTENCE, plain) if words(found) > 1)


def prose(source: str) -> str:
    """Return the docstrings and comments of a Python source."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, owners)]
    parts = [f"{ast.get_docstring(node) or ''}\n\n" for node in nodes]
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        comment = token.type in {tokenize.COMMENT, tokenize.NL}
        parts.append(re.sub(DIRECTIVE, "", token.string, count=1) if comment else "\n\n")
    return "".join(parts)


def count(texts: Iterable[str]) -> tuple[float, list[list[str]]]:
    """Return the average words of the sentences that have an end, then the forbidden openings and words."""
    found = [sentence for text in texts for sentence in sentences(text)]
    whole = [words(sentence) for sentence in found if re.search(r"[.!?:]\W*$", sentence)]
    finds = [[f"{f[0]}: {one}" for one in found for f in re.finditer(pattern, one)] for pattern in FORBIDDEN]
    return round(sum(whole) / max(len(whole), 1), 1), finds


if __name__ == "__main__":
    over = False
    for group, limits in LIMITS.items():
        texts = (path.read_text() for path in Path(__file__).parents[1].glob(group))
        average, (openings, found) = count(texts if group.endswith(".md") else map(prose, texts))
        numbers = (average, len(openings), len(found))
        over |= any(number > limit for number, limit in zip(numbers, limits, strict=True))
        print(f"{group:18} {numbers}, at most {limits}", *(openings + found if "-v" in sys.argv else ()), sep="\n  ")
    sys.exit(over)
