"""The command lines: help, wrong use, exit codes, results on stdout, logs on stderr."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import fuw
from fuw import cli
from fuw.engine import errors
from fuw.engine import run as engine_run

EXAMPLES = Path(fuw.__file__).parent / "examples"
PERSON, GARMENT = str(EXAMPLES / "person_1.jpg"), str(EXAMPLES / "garment_1.jpg")
COMMANDS = {"run": cli.run, "prepare": cli.prepare, "export": cli.export, "bench": cli.bench,
            "info": cli.info}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_exit_codes(name: str) -> None:
    done = CliRunner().invoke(COMMANDS[name], ["--help"])
    assert done.exit_code == 0 and "Exit codes: 0 done" in done.output
    assert f"  fuw-{name}" in done.output.partition("Options:")[0]


def test_help_loads_neither_numpy_nor_torch() -> None:
    code = ("import sys\nfrom fuw.cli import run\n"
            "try:\n    run(['--help'])\nexcept SystemExit: pass\n"
            "assert not {'numpy', 'torch', 'cv2', 'onnxruntime', 'openvino'} & set(sys.modules)")
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, cwd="/")


@pytest.mark.parametrize(("arguments", "code", "words"), [
    ([], 2, "give a person photo and a garment photo"),
    ([PERSON], 2, "give a person photo and a garment photo"),
    (["--pairs", "p.txt"], 2, "--pairs needs --data"),
    ([PERSON, GARMENT, "--size", "big"], 2, "HEIGHTxWIDTH"),
    ([PERSON, GARMENT, "--size", "0x768"], 2, "HEIGHTxWIDTH"),
    ([PERSON, GARMENT, "--seed", "-1"], 2, "--seed"),
    (["--pairs", "p.txt", "--data", ".", "--json", "r.json"], 2, "does not go with --json"),
    ([PERSON, GARMENT, "--batch", "2"], 2, "--batch goes with --pairs"),
    (["--data", "."], 2, "give a person photo and a garment photo"),
    ([PERSON, GARMENT, "-o", "out.gif"], 10, "out.gif"),
    (["nobody.jpg", GARMENT, "-o", "x.jpg"], 3, "nobody.jpg"),
    ([PERSON, GARMENT, "--device", "cuda:77"], 6, "cuda:77"),
    ([PERSON, GARMENT, "--weights", "nowhere"], 5, "nowhere"),
])
def test_wrong_use_is_one_sentence_and_an_exit_code(
        arguments: list[str], code: int, words: str, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.run, arguments)
    assert (done.exit_code, words in done.output) == (code, True), done.output
    assert "Traceback" not in done.output and not list(tmp_path.iterdir())


def _from_a_telephone(path: Path) -> None:
    """The example person as a camera held sideways saves it, with the place where it was taken."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    exif.get_ifd(0x8825)[1] = "N"
    Image.open(PERSON).rotate(90, expand=True).save(path, quality=95, exif=exif)


def test_a_run_writes_picture_sheet_parts_and_report(tmp_path: Path) -> None:
    out, report = tmp_path / "out.jpg", tmp_path / "report.json"
    _from_a_telephone(tmp_path / "me.jpg")
    assert Image.open(tmp_path / "me.jpg").size == (1024, 768)
    done = CliRunner().invoke(cli.run, [
        str(tmp_path / "me.jpg"), GARMENT, "-o", str(out), "--sheet", str(tmp_path / "sheet.png"),
        "--parts", str(tmp_path / "parts"), "--json", str(report), "--precision", "fp32",
        "--paste-back"])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    assert "starter" in done.stderr and "alias" in done.stderr
    assert Image.open(out).size == (768, 1024)
    told = json.loads(report.read_text())
    assert set(told["ms"]) == {"person", "garment", "fit"} and told["weights"]["alias"] == "starter"
    names = {p.name for p in (tmp_path / "parts").iterdir()}
    assert {"parse.png", "openpose.json", "warped-cloth.png", "densepose-iuv.png"} <= names
    assert told["paste_back"] is True  # compositing is recorded
    for made in (p for p in tmp_path.rglob("*") if p.suffix in (".jpg", ".png") and p.stem != "me"):
        assert not Image.open(made).getexif() and b"Camera" not in made.read_bytes(), made


def test_info_says_ready_and_what_to_do() -> None:
    done = CliRunner().invoke(cli.info, ["--json"])
    told = json.loads(done.output)
    assert done.exit_code == 0 and told["ready"]
    assert all(p["fix"] for p in told["problems"])


def _error_codes() -> dict[str, int]:
    """Exit codes by the name of the error, from the errors that have one of their own."""
    return {name: error.exit_code for name, error in vars(errors).items()
            if isinstance(error, type) and issubclass(error, errors.FuwError)
            and "exit_code" in vars(error)}


def test_exit_codes_of_errors_help_and_docs_agree() -> None:
    told = dict(re.findall(r"(\d+) ([^;.]+)[;.]", cli.EXIT_CODES.partition(":")[2]))
    docs = (EXAMPLES.parent / "docs" / "exit_codes.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+?) \| (?:`(\w+)`)? ?\|$", docs, re.MULTILINE)
    assert {name: int(code) for code, _, name in rows if name} == _error_codes()
    ours = {0, cli.SOME_FAILED, cli.INTERRUPTED}
    assert {int(code) for code in told} == ours | set(_error_codes().values())
    assert {code for code, _, _ in rows} == set(told)
    for code, meaning, _ in rows:  # the table says it in the help's words, and more
        assert set(told[code].split()) <= set(re.findall(r"[\w-]+", meaning)), (code, meaning)


@pytest.mark.parametrize("name", ["run", "prepare", "export", "bench"])
def test_v_and_q_everywhere_and_not_both(name: str) -> None:
    names = {option for p in COMMANDS[name].params for option in p.opts}
    assert {"-v", "--verbose", "-q", "--quiet"} <= names
    arguments = ["photos", "-o", "out"] if name == "prepare" else []
    done = CliRunner().invoke(COMMANDS[name], [*arguments, "-v", "-q"])
    assert done.exit_code == 2 and "exclude each other" in done.stderr


def _talkative(job: engine_run.Job, options: object, on_stage: object,
               log: engine_run.Log) -> Path:
    """A `run_one` that says something of every kind."""
    library = logging.getLogger("fuw.engine.backend")
    log("progress")
    library.debug("detail")
    library.info("what was opened")
    library.warning("the garment is cut off")
    return Path("out.jpg")


@pytest.mark.parametrize(("flags", "lines"), [
    ([], ["progress", "warning: the garment is cut off"]),
    (["-q"], ["warning: the garment is cut off"]),
    (["-v"], ["progress", "debug: detail", "info: what was opened",
              "warning: the garment is cut off"]),
])
def test_results_on_stdout_and_as_much_log_as_wished(
        flags: list[str], lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_run, "run_one", _talkative)
    before = logging.getLogger("fuw").handlers[:]
    done = CliRunner().invoke(cli.run, [PERSON, GARMENT, *flags])
    assert done.stdout == "out.jpg\n" and done.stderr.splitlines() == lines
    assert logging.getLogger("fuw").handlers == before


def test_ctrl_c_is_a_sentence_and_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_run, "run_one", interrupted)
    done = CliRunner().invoke(cli.run, [PERSON, GARMENT])
    assert done.exit_code == 130 and done.stderr.startswith("fuw: interrupted")
