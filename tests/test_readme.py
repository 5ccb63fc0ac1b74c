"""What README.md and docs/ tell people to type works, and what they point at exists.

Every command in them is run here, in the order of its document, on the example photos with the
starter weights, or it is in LISTED with the reason why not. A new command is run by itself;
one that cannot be has to be listed.
"""

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from documents import (
    DOCUMENTS,
    GUIDES,
    KOREAN,
    README,
    ROOT,
    anchors,
    blocks,
    headings,
    inline_code,
    links,
    prose,
    table_rows,
)
from PIL import Image

from fuw import cli
from fuw.engine.dataset import read_pairs
from fuw.starter import demo

COMMANDS: dict[str, click.Command] = {
    "fuw-run": cli.run, "fuw-prepare": cli.prepare, "fuw-export": cli.export,
    "fuw-bench": cli.bench, "fuw-info": cli.info}

MAKE = "builds a virtual environment from downloads; .ci/ runs `make test` itself"
DOWNLOAD = "downloads"
MEASURES = "measures for minutes; tests/test_bench.py runs the same for moments"
OFFICIAL = "needs official checkpoints, which may not be shipped"
LISTED = {
    "make demo": MAKE,
    "make test": MAKE,
    "pip install 'fuw[export]'": DOWNLOAD,
    "fuw-export --download --weights checkpoints": DOWNLOAD,
    "fuw-export --weights checkpoints": OFFICIAL,
    "fuw-export --weights checkpoints --fp16": OFFICIAL,
    "fuw-export --weights checkpoints --fp32": OFFICIAL,
    "fuw-export --weights checkpoints --fp32 --fp16": OFFICIAL,
    "fuw-export --weights checkpoints --networks alias --fp16 --size 512x384": OFFICIAL,
    "pip install 'fuw[gpu]'": DOWNLOAD,
    "fuw-run me.jpg shirt.jpg --device cuda:0": "needs a GPU",
    "fuw-export --weights checkpoints --fp16 --backend trt": "needs a GPU",
    "FUW_EXPORTED=checkpoints/onnx pytest tests/test_exported.py":
        "gigabytes of exports: how the document's table was measured",
    "python tests/generated.py checkpoints": OFFICIAL,
    "fuw-bench --quick": MEASURES,
    "fuw-bench --json new.json --html new.html": MEASURES,
    "fuw-bench compare old.json new.json --threshold 1.1": "tests/test_bench.py compares reports",
    "python -m fuw.bench.kernels": MEASURES,
    "python -m fuw.bench.alias": MEASURES,
    "fuw-export --fp16 --photos person.jpg cloth.jpg":
        "minutes of CPU: eight networks rounded node by node; tests/test_export_build.py and "
        "tests/test_agreement.py run the same on small ones",
}
PHOTOS = {"me.jpg": "person_1", "person.jpg": "person_1", "shirt.jpg": "garment_1",
          "cloth.jpg": "garment_1", "red.jpg": "garment_1", "blue.jpg": "garment_2",
          "photos/people/me.jpg": "person_1", "photos/garments/shirt.jpg": "garment_1"}
PROMISED = {  # what a document's commands leave behind, the pictures first
    "README.md": ("me_shirt.jpg", "sheet.jpg", "viton_hd/test/image/me.jpg",
                  "viton_hd/test/cloth-mask/shirt.jpg", "results/me_shirt.jpg",
                  "viton_hd/test/test_pairs.txt"),
    "official_weights.md": ("person_cloth.jpg",),
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of somebody who follows the README, photos and exported weights in it."""
    for name, example in PHOTOS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "examples" / f"{example}.jpg", tmp_path / name)
    shutil.copytree(ROOT / "models" / "starter", tmp_path / "checkpoints" / "onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(document: Path) -> list[str]:
    """The commands of a document's shell blocks."""
    return [line for block in blocks(document, "sh") for line in block.commands]


def follow(command: str) -> None:
    """Run one command of ours; it has to succeed and to put what it says on the right stream."""
    name, *arguments = shlex.split(command)
    assert name in COMMANDS, f"{command!r} is new: list it in LISTED with its reason"
    done = CliRunner().invoke(COMMANDS[name], arguments)
    assert done.exit_code == 0, f"{command}: {done.exit_code}\n{done.output}\n{done.exception!r}"
    assert done.stdout and "\x1b" not in done.output, command


@pytest.mark.slow
@pytest.mark.parametrize("document", GUIDES, ids=lambda path: path.name)
def test_commands_do_what_the_document_says(document: Path, desk: Path) -> None:
    todo = [command for command in commands(document) if command not in LISTED]
    for command in todo:
        follow(command)
    promised = PROMISED.get(document.name, ())
    assert bool(promised) == bool(todo), "say in PROMISED what the commands leave behind"
    for name in promised:
        assert (desk / name).exists(), name
        if name.endswith(".jpg"):
            Image.open(desk / name).load()


@pytest.mark.parametrize("command", [c for c in LISTED if c.startswith("fuw-")])
def test_listed_commands_parse(command: str) -> None:
    name, *arguments = shlex.split(command)
    COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: path.name)
def test_what_is_exported_before_a_run_is_what_a_cpu_runs(document: Path) -> None:
    """The folder of the tests holds fp32 files already: the words have to write them too."""
    precisions: set[str] = set()
    for block in blocks(document, "sh"):
        for name, *arguments in map(shlex.split, block.commands):
            if name == "fuw-export" and "--download" not in arguments:
                precisions |= set(cli.export.make_context(name, arguments).params["precisions"]
                                  or ("fp32",))
            elif name == "fuw-run" and "checkpoints" in arguments:
                assert "fp32" in precisions, document.name


def test_make_has_the_targets_that_are_named() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {span.split()[1] for path in DOCUMENTS for span in (*inline_code(path), *commands(path))
             if re.match(r"make [a-z-]+$", span)}
    assert {"demo", "test"} <= named <= targets


def test_nothing_listed_is_gone() -> None:
    assert set(LISTED) <= {command for document in GUIDES for command in commands(document)}


@pytest.mark.slow
def test_the_python_of_the_readme_runs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(README, "python")
    exec(compile(block.text, "README.md", "exec"), {"__name__": "__main__"})
    assert {"me_red.jpg", "me_blue.jpg"} <= {p.name for p in desk.iterdir()}
    assert capsys.readouterr().out.count("alias") == 2


@pytest.mark.slow
def test_the_picture_shows_what_the_demo_gives() -> None:
    """The result of the weights before these is 17 grey levels off, JPEG 1."""
    shown = np.asarray(Image.open(demo.EXAMPLES / "demo.jpg"), np.float32)
    off = np.abs(shown - demo.strip()).reshape(shown.shape[0], -1, 3).mean((0, 2))
    parts = [off[start : start + demo.SIZE[0]].mean()
             for start in range(0, len(off), demo.SIZE[0] + demo.GAP)]
    assert max(parts) < 2, "write it again: python -m fuw.starter.demo examples/demo.jpg"


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: path.name)
def test_blocks_are_commands_python_or_figures(document: Path, tmp_path: Path) -> None:
    """A block of another kind would slip past the tests above."""
    for block in blocks(document):
        assert block.language in ("sh", "python", ""), block
        assert document == README or block.language != "python", "run it in a test first"
        if block.language == "":
            assert not re.search(r"^(\$|fuw-|pip |make |python)", block.text, re.MULTILINE), block


def test_the_pairs_shown_are_pairs(tmp_path: Path) -> None:
    (block,) = (b for b in blocks(ROOT / "docs" / "viton_hd_folders.md")
                if b.text.startswith("00891_00.jpg"))
    (tmp_path / "pairs.txt").write_text(block.text)
    assert len(read_pairs(tmp_path / "pairs.txt")) == 2


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document):
        if re.match(r"(https?|mailto):", link):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), f"{document.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{document.name} links to {link}"


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: path.name)
def test_paths_and_options_named_in_the_text_exist(document: Path) -> None:
    known = {option for c in COMMANDS.values() for p in c.params for option in p.opts}
    for span in inline_code(document):
        if re.match(r"(engine|export|kernels|bench|starter|tests|docs|models|examples)/\S+$", span):
            assert list(ROOT.glob(re.sub("<.*?>", "*", span))), f"{document.name} names {span}"
        first = span.split()[0] if span.split() else ""
        if first in COMMANDS or first.startswith("--"):
            mine = ({o for p in COMMANDS[first].params for o in p.opts} if first in COMMANDS
                    else known) | {"--help", "--version"}
            asked = set(re.findall(r"(?<!\S)--[a-z][\w-]*", span))
            assert asked <= mine, f"{document.name}: {span}"


def test_every_warning_has_its_row() -> None:
    table = (ROOT / "docs" / "photos.md").read_text()
    told = {code for row in re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", table, re.MULTILINE)
            for code in re.findall(r"`(\w+)`", row)}
    made = {code for path in (ROOT / "engine").glob("*.py")
            for code in re.findall(r'Warning_\(\s*"(\w+)"', path.read_text())}
    assert told == made


def test_every_name_is_where_the_guide_says() -> None:
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)` \| (.+) \|$",
                      (ROOT / "docs" / "where.md").read_text(), re.MULTILINE)
    assert len(rows) > 30
    for file, names in rows:
        text = (ROOT / file).read_text()
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b *[:=(]", text), f"where.md looks for {name} in {file}"


def test_every_module_of_the_engine_has_its_concern() -> None:
    table = (ROOT / "docs" / "where.md").read_text().partition("## `engine/` by concern")[2]
    there = {path.stem for path in (ROOT / "engine").glob("*.py")} - {"__init__"}
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(there)


def test_extras_named_anywhere_are_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"]
    sources = [*DOCUMENTS, ROOT / "cli.py", *(ROOT / "engine").rglob("*.py"),
               *(ROOT / "export").rglob("*.py")]
    named = {extra for path in sources
             for group in re.findall(r"\bfuw\[([a-z, ]+)\]", path.read_text())
             for extra in re.split(r", *", group)}
    assert named and named <= set(extras)


def test_the_korean_readme_follows_the_english_one() -> None:
    assert [level for level, _ in headings(KOREAN)] == [level for level, _ in headings(README)]
    assert blocks(KOREAN) == blocks(README)
    assert table_rows(KOREAN) == table_rows(README)
    assert set(links(KOREAN)) - {"README.md"} == set(links(README)) - {"README.ko.md"}
    assert "README.ko.md" in links(README) and "README.md" in links(KOREAN)
    hangul = len(re.findall("[가-힣]", prose(KOREAN)))
    assert hangul > 0.15 * len(prose(KOREAN)), "not a translation"
