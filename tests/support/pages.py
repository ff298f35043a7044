"""The pages of the documentation as a test reads them: their commands, headings and links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What is dated tells what was true then.
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")]
    if path.name not in {"LOG.md", "CHANGELOG.md"}
)
RUN = "<!-- run -->"  # in the line before a block: a test runs all of it
OURS = ("python train.py", "regraft", ".venv/bin/regraft", "make", "pip install", "export")
_SHELL = {"", "bash", "sh", "console"}  # other blocks hold no commands
_FENCE = re.compile(r"(\s*)(`{3,}|~{3,})\s*(\w*)")
_HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)")


@dataclass(frozen=True)
class Command:
    """What a reader types, and where it stands; `run` if a test does so, too.

    `error` is the line that the page says it ends in.
    """

    page: Path
    line: int
    text: str
    in_block: bool = False
    run: bool = False
    error: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_ours(self) -> bool:
        """Whether it is one of this project's, such as `regraft`, and not the shell's."""
        return bool(calls(self.text))


@dataclass(frozen=True)
class Block:
    """The lines between two fences, and the number of the first."""

    line: int
    language: str
    lines: tuple[str, ...]
    run: bool


@dataclass(frozen=True)
class Call:
    """A program of this project and its words, as the shell would hand them over."""

    program: str
    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def commands(page: Path) -> list[Command]:
    """All commands of a page in their order: of its blocks, and those within its sentences."""
    found = [
        Command(page, block.line + offset, text, True, block.run, error)
        for block in blocks(page)
        if block.language in _SHELL
        for offset, text, error in _statements(block)
        if block.run or text.startswith(OURS) or re.match(r"[A-Z_]+=\S+ ", text)
    ]
    prose = _prose(page)
    for span in re.finditer(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)", prose):
        text = " ".join(span[1].split())
        if text.startswith(tuple(f"{program} " for program in OURS)):
            found.append(Command(page, prose.count("\n", 0, span.start()) + 1, text))
    return sorted(found, key=lambda command: command.line)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, without the indentation of their fences."""
    before, fence, held = "", None, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        found = _FENCE.match(line)
        if fence is None and found:
            fence, start, run, held = found, number + 1, before == RUN, []
        elif fence and found and found[2] == fence[2] and not found[3]:
            yield Block(start, fence[3], tuple(text.removeprefix(fence[1]) for text in held), run)
            fence = None
        elif fence:
            held.append(line)
        if fence is None and line.strip():
            before = line.strip()


def _statements(block: Block) -> Iterator[tuple[int, str, str | None]]:
    """What is typed in a block, the offset of its line and an error that it is said to end in.

    Where `$` stands, only that is typed.
    A line that ends in a backslash goes on in the next one, and a heredoc until its word.
    """
    session = any(line.startswith("$ ") for line in block.lines)
    lines = enumerate(block.lines)
    for offset, line in lines:
        if session and not line.startswith("$ "):
            continue
        text = line.removeprefix("$ ")
        while text.endswith("\\"):
            text = text[:-1] + next(lines)[1].strip()
        if heredoc := _HEREDOC.search(text):
            inner = iter(lambda: next(lines)[1], heredoc[1])
            text = "\n".join([text, *inner, heredoc[1]])
        if text.strip() and not text.startswith("#"):
            after = "".join(block.lines[offset + 1 : offset + 2])
            error = after.removeprefix("error: ") if after.startswith("error: ") else None
            yield offset, text, error


def calls(text: str) -> list[Call]:
    """The programs of this project that a line calls, in their order.

    What stands for the user's own, `<your folder>`, is one word; what is left out, `…`, is none.
    """
    found = []
    words = shlex.split(re.sub(r"<([^<>\n]+)>", _one_word, text.partition("\n")[0]), comments=True)
    while words:
        end = next((n for n, word in enumerate(words) if word in {"&&", "|", ";"}), len(words))
        found += _call([word for word in words[:end] if "…" not in word])
        words = words[end + 1 :]
    return found


def _one_word(placeholder: re.Match[str]) -> str:
    return placeholder[1].replace(" ", "_")


def _call(words: list[str]) -> list[Call]:
    environment = []
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment.append((name, value))
    line = " ".join(words)
    for program in OURS:
        if f"{line} ".startswith(f"{program} "):
            name = program.rpartition("/")[2]
            return [Call(name, tuple(words[len(program.split()) :]), tuple(environment))]
    return []


def links(page: Path) -> Iterator[tuple[int, str]]:
    """The targets of links and pictures, each with its line."""
    prose = _prose(page)
    for found in re.finditer(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", prose):
        yield prose.count("\n", 0, found.start()) + 1, found[1]


def anchors(page: Path) -> set[str]:
    """What `#` in a link can name: the headings of a page, as GitHub calls them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*$", _prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = sum(slug == re.sub(r"-\d+$", "", other) or slug == other for other in found)
        found.add(f"{slug}-{again}" if again else slug)
    return found


def _prose(page: Path) -> str:
    """The page with its fenced blocks emptied, so that every line keeps its number."""
    lines = page.read_text().splitlines()
    for block in blocks(page):
        first = block.line - 2
        for number in range(first, first + len(block.lines) + 2):
            lines[number] = ""
    return "\n".join(lines)
