"""Command lines: parse, call one function, print. Results go to stdout, the log to stderr."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from fuw import __version__
from fuw.engine.errors import ExportError, FuwError

PATH = click.Path(path_type=Path)
SOME_FAILED, INTERRUPTED = 11, 130
ONE_ONLY = {"parts": "--parts", "sheet": "--sheet", "report": "--json",
            "paste_back": "--paste-back", "pose": "--pose", "parse": "--parse", "mask": "--mask"}
EXIT_CODES = """\b
Exit codes: 0 done; 1 other; 2 wrong command line; 3 unusable input; 4 nobody in the picture;
5 weights; 6 backend or device; 7 export not proved; 8 download; 9 cache; 10 output not written;
11 some failed; 130 interrupted."""


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print a FuwError as one line and exit with its code; Ctrl-C exits with 130."""

    @wraps(command)
    def run_guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except FuwError as error:
            click.echo(f"fuw: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("fuw: interrupted; nothing half-written is left", err=True)
            sys.exit(INTERRUPTED)

    return run_guarded


class StderrLog(logging.Handler):
    """The library's log as lines on stderr; looks stderr up anew, as click does."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        click.echo(f"{record.levelname.lower()}: {record.getMessage()}", err=True)


@contextmanager
def logged(level: int) -> Iterator[None]:
    """Show what the package logs from `level` on, while a command runs."""
    logger, handler = logging.getLogger("fuw"), StderrLog()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def voiced(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `-v` and `-q`, the same on every command that works for a while; it gets `quiet`."""

    @click.option("-v", "--verbose", is_flag=True,
                  help="Also what is opened, built and waited for.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress: warnings and errors only.")
    @wraps(command)
    def run_voiced(*args: Any, verbose: bool, quiet: bool, **kwargs: Any) -> Any:
        if verbose and quiet:
            raise click.UsageError("-v and -q exclude each other")
        with logged(logging.DEBUG if verbose else logging.WARNING):
            return command(*args, quiet=quiet, **kwargs)

    return run_voiced


@contextmanager
def live_line() -> Iterator[Callable[[str], None]]:
    """What is being done, in one line that is redrawn and then gone; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda doing: None
        return
    room = shutil.get_terminal_size().columns - 5  # a line that wraps cannot be taken back
    try:
        yield lambda doing: click.echo(f"\r\x1b[K{doing[:room]} ...", nl=False, err=True)
    finally:
        click.echo("\r\x1b[K", nl=False, err=True)


def note(quiet: bool) -> Callable[[str], None]:
    """How a command says what it is doing: a line on stderr, or nothing."""
    return (lambda line: None) if quiet else (lambda line: click.echo(line, err=True))


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of `Fitter.open`, the same on every command that opens one."""
    for option in reversed((
        click.option("--weights", default="starter", show_default=True,
                     help="'starter', or a folder that fuw-export wrote."),
        click.option("--fill", type=click.Choice(["starter"]), default=None,
                     help="Fill networks that the weights lack from these."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda:0 ..."),
        click.option("--backend", default="auto", show_default=True,
                     help="auto, openvino, ort-cpu, ort-cuda, trt."),
        click.option("--precision", default="auto", show_default=True,
                     help="auto, fp32, bf16, fp16 (GPU)."),
        click.option("--threads", type=click.IntRange(min=0), default=0,
                     help="CPU threads of a network; 0 means all cores."),
        click.option("--mask-net", default="auto", show_default=True,
                     help="auto, u2net, u2netp, tracer_b7."),
        click.option("--size", default="1024x768", show_default=True, help="Picture, HxW."),
        click.option("--cache", type=PATH, default=None, help="Folder for compiled engines."),
    )):
        command = option(command)
    return command


def open_options(values: dict[str, Any]) -> dict[str, Any]:
    """Take the options of `engine_options` out of a command's values, in `Options`' types."""
    names = ("weights", "fill", "device", "backend", "precision", "threads", "mask_net", "cache")
    chosen = {name: values.pop(name) for name in names}
    chosen["fill"] = chosen["fill"] or ""
    return {**chosen, "size": parse_size(values.pop("size"))}


def parse_size(text: str) -> tuple[int, int]:
    """"1024x768" -> (1024, 768), height first."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise click.BadParameter("write the size as HEIGHTxWIDTH, for example 1024x768")
    return int(height), int(width)


def listed(text: str) -> tuple[str, ...]:
    """"a, b" -> ("a", "b")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def stage_line(quiet: bool) -> Callable[[str, float], None] | None:
    """A line per stage with its milliseconds, on stderr."""
    return None if quiet else lambda stage, ms: click.echo(f"  {stage:<10} {ms:8.1f} ms", err=True)


@click.command(epilog=EXIT_CODES)
@click.argument("person", type=PATH, required=False)
@click.argument("cloth", type=PATH, required=False)
@click.option("-o", "--out", type=PATH, help="Picture to write (.jpg, .png, .webp), or the "
              "folder of --pairs. Default: PERSON_CLOTH.jpg here.")
@click.option("--parts", type=PATH, help="Folder for every intermediate, official formats.")
@click.option("--sheet", type=PATH, help="Contact sheet of all stages.")
@click.option("--json", "report", type=PATH, help="Report: timings, warnings, weights' origins.")
@click.option("--paste-back", is_flag=True, help="Put the region back into the original photo.")
@click.option("--pose", type=PATH, help="OpenPose JSON, pixels of the person photo.")
@click.option("--parse", type=PATH, help="Parse map PNG, ids 0..19, size of the person photo.")
@click.option("--parse-labels", type=click.Choice(["viton", "lip"]), default="viton",
              show_default=True, help="What id 10 of --parse means: neck, or jumpsuit.")
@click.option("--mask", type=PATH, help="Garment mask, size of the garment photo.")
@click.option("--pairs", type=PATH, help="Text file of person/garment names; needs --data.")
@click.option("--data", type=PATH, help="VITON-HD folder.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True,
              help="Pairs dressed at once, by networks that fuw-export --batch wrote.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Noise of the seg generator.")
@engine_options
@voiced
@click.version_option(__version__)
@guarded
def run(person: Path | None, cloth: Path | None, pairs: Path | None, data: Path | None,
        batch: int, quiet: bool, **values: Any) -> None:
    """Dress PERSON (a photo) in CLOTH (a photo of a garment).

    \b
    fuw-run person.jpg cloth.jpg
    fuw-run person.jpg cloth.jpg -o out.jpg --parts parts/ --sheet sheet.jpg
    fuw-run --pairs test_pairs.txt --data viton_hd/test -o results/
    fuw-run --pairs test_pairs.txt --data viton_hd/test --weights onnx --batch 4
    """
    from fuw.engine import run as engine_run

    opened = open_options(values)
    if pairs is not None:
        if data is None:
            raise click.UsageError("--pairs needs --data, the VITON-HD folder")
        if person is not None:
            raise click.UsageError("give PERSON and CLOTH, or --pairs, not both")
        if useless := [option for name, option in ONE_ONLY.items() if values[name]]:
            raise click.UsageError(f"--pairs does not go with {', '.join(useless)}: those are for "
                                   "one person and one garment")
        job = engine_run.PairsJob(pairs, data, values["out"] or Path("results"), values["seed"])
        done = engine_run.run_pairs(job, {**opened, "batch": batch}, log=note(quiet))
        click.echo(f"{done.written} written, {done.kept} there already, {len(done.failed)} failed")
        sys.exit(SOME_FAILED if done.failed else 0)
    if batch > 1:
        raise click.UsageError("--batch goes with --pairs: one person and one garment are one fit")
    if person is None or cloth is None:
        raise click.UsageError("give a person photo and a garment photo: fuw-run person.jpg "
                               "cloth.jpg")
    job_one = engine_run.Job(person=person, cloth=cloth, **values)
    click.echo(engine_run.run_one(job_one, opened, stage_line(quiet), log=note(quiet)))


@click.command(epilog=EXIT_CODES)
@click.argument("source", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="VITON-HD folder to write.")
@click.option("--framed", is_flag=True, help="The photos are cut like VITON-HD's already.")
@engine_options
@voiced
@click.version_option(__version__)
@guarded
def prepare(source: Path, out: Path, framed: bool, quiet: bool, **values: Any) -> None:
    """Write a VITON-HD test folder from SOURCE/people and SOURCE/garments.

    \b
    fuw-prepare photos -o viton_hd/test
    fuw-run --pairs viton_hd/test/test_pairs.txt --data viton_hd/test -o results
    """
    from fuw.engine.prepare import PrepareJob
    from fuw.engine.prepare import prepare as prepare_folder

    done = prepare_folder(PrepareJob(source, out, framed), open_options(values), log=note(quiet))
    click.echo(f"{done.written} written, {done.kept} there already, {len(done.failed)} failed")
    sys.exit(SOME_FAILED if done.failed else 0)


@click.command(epilog=EXIT_CODES)
@click.option("--weights", default="starter", show_default=True,
              help="'starter', or a folder with checkpoints.")
@click.option("-o", "--out", type=PATH, help="Folder for the files. Default: WEIGHTS/onnx; ./onnx "
              "for starter.")
@click.option("--networks", default="", help="Comma-separated names. Default: all whose weights "
              "are there.")
@click.option("--fp32", "precisions", flag_value="fp32", multiple=True, help="Files in fp32 (the "
              "default).")
@click.option("--fp16", "precisions", flag_value="fp16", multiple=True, help="Files in fp16, with "
              "fp32 islands.")
@click.option("--bf16", "precisions", flag_value="bf16", multiple=True, help="Files in bf16, with "
              "fp32 islands.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True,
              help="Samples per run.")
@click.option("--size", default=None, help="Picture, HxW: 1024x768, 512x384.")
@click.option("--mask-size", type=click.Choice(["320", "640"]), default="320", show_default=True,
              help="Side of U2Net's picture; 640 sees finer edges at four times the cost.")
@click.option("--alias", type=click.Choice(["auto", "dense", "sparse"]), default="auto",
              show_default=True, help="Form of ALIAS in fp32, for CPUs; auto takes the faster one, "
              "timed here. Reduced files, for GPUs, are dense; sparse adds its static form beside.")
@click.option("--backend", "backends", multiple=True,
              type=click.Choice(["ort-cpu", "openvino", "trt"]),
              help="Runtimes to prove in. Default: all that are installed. trt: build TensorRT "
              "engines of what was proved.")
@click.option("--builder-level", type=click.IntRange(0, 5), default=3, show_default=True,
              help="TensorRT: 0 builds quickly, 5 runs quickly.")
@click.option("--workspace", type=click.FloatRange(min=0), default=0.0, help="TensorRT: GiB of GPU "
              "memory a layer may use; 0 means all.")
@click.option("--cache", type=PATH, default=None, help="Folder for engines.")
@click.option("--photos", nargs=2, type=PATH, default=None, help="A person and a garment: judge "
              "the reduced chain by labels, masks, key points and picture too.")
@click.option("--threads", type=click.IntRange(min=0), default=0,
              help="CPU threads; 0 means all cores.")
@click.option("--force", is_flag=True, help="Export again what is up to date.")
@click.option("--json", "report", type=PATH, help="Report: every comparison, sizes, times.")
@click.option("--download", is_flag=True, help="Fetch official checkpoints into --weights first.")
@click.option("--accept-licences", is_flag=True, help="Do not ask about each licence.")
@voiced
@click.version_option(__version__)
@guarded
def export(weights: str, networks: str, precisions: tuple[str, ...], size: str | None,
           mask_size: str, report: Path | None, download: bool, accept_licences: bool,
           quiet: bool, **values: Any) -> None:
    """Turn checkpoints into ONNX files, each proven against the network it came from.

    \b
    fuw-export --fp16
    fuw-export --weights checkpoints --fp32 --fp16
    fuw-export --download --weights checkpoints --networks seg,gmm,alias
    """
    missing = [package for package in ("torch", "onnx", "onnxscript", "ml_dtypes")
               if find_spec(package) is None]
    if missing:
        raise FuwError(f"fuw-export needs {', '.join(missing)}; install what it needs: "
                       "pip install 'fuw[export]'")
    try:
        from fuw.export import command
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "fuw":
            raise  # ours is there; this is a bug and should look like one
        raise FuwError(f"fuw-export does not start ({error}); install what it needs again: "
                       "pip install --force-reinstall 'fuw[export]'") from error
    names = listed(networks)
    if download:
        command.fetch(weights, names, accept_licences, quiet)
        if not precisions:
            return
    chosen = {**values, "precisions": precisions or ("fp32",), "mask_size": int(mask_size),
              "size": parse_size(size) if size else None}
    done = command.export(weights, names, chosen, quiet)
    click.echo(done.table())
    if report:
        command.write_report(done, report)
    sys.exit(0 if done.ok else ExportError.exit_code)


@click.group(epilog=EXIT_CODES, invoke_without_command=True)
@click.option("--person", type=PATH, default=None, help="Photo. Default: an example picture.")
@click.option("--cloth", type=PATH, default=None, help="Photo. Default: an example picture.")
@click.option("--weights", default="made-up", show_default=True, help="'made-up': official sizes; "
              "'starter'; or a folder that fuw-export wrote. Only made-up ones have a baseline.")
@click.option("--backends", default="auto", show_default=True,
              help="Comma-separated: auto, openvino, ort-cpu, ort-cuda, trt.")
@click.option("--precisions", default="auto", show_default=True,
              help="Comma-separated: auto, fp32, bf16, fp16. Every pair that exists takes part; "
              "the summary speaks of the first.")
@click.option("--sizes", default="1024x768", show_default=True, help="Pictures, HxW, "
              "comma-separated.")
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True,
              help="Garments of the row 'one person x N garments'.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="0 means all cores.")
@click.option("--seconds", type=click.FloatRange(min=1), default=240.0, show_default=True,
              help="For the counted chains of one size, everybody's together.")
@click.option("--quick", is_flag=True, help="About 2 minutes where all was exported and compiled "
              "before: 30 seconds of counted chains.")
@click.option("--no-baseline", is_flag=True, help="Without the official way.")
@click.option("--folder", type=PATH, help="Keeps exports and engines. Default: the user's cache.")
@click.option("--json", "report", type=PATH, help="Where to write the report.")
@click.option("--html", "page", type=PATH, help="Where to write one self-contained page.")
@voiced
@click.version_option(__version__)
@click.pass_context
@guarded
def bench(context: click.Context, report: Path | None, page: Path | None, quiet: bool,
          **values: Any) -> None:
    """Measure latency, stage by stage, against the official way, in one interleaved run.

    \b
    fuw-bench --quick
    fuw-bench --backends openvino,ort-cpu --json report.json --html report.html
    fuw-bench --weights starter --no-baseline
    fuw-bench compare old.json new.json --threshold 1.1
    """
    if context.invoked_subcommand is not None:
        return
    from fuw.bench import latency
    from fuw.bench import page as pages
    from fuw.bench import report as reports
    from fuw.engine.files import write_json

    result = latency.measure(bench_options(**values), say=note(quiet))
    click.echo(reports.table(result))
    if report:
        write_json(report, result)
    if page:
        pages.write_page(result, page)


def bench_options(*, person: Path | None, cloth: Path | None, backends: str, precisions: str,
                  sizes: str, no_baseline: bool, quick: bool, seconds: float,
                  **values: Any) -> Any:
    """`BenchOptions` of the command line's values."""
    from fuw.bench import latency, scene

    return latency.BenchOptions(
        person or scene.example_photos()[0], cloth or scene.example_photos()[1],
        listed(backends), listed(precisions),
        tuple(parse_size(size) for size in listed(sizes)), baseline=not no_baseline,
        seconds=min(seconds, 30.0) if quick else seconds, **values)


@bench.command("compare")
@click.argument("old", type=PATH)
@click.argument("new", type=PATH)
@click.option("--threshold", default=1.15, show_default=True, help="Fail past this ratio.")
@guarded
def bench_compare(old: Path, new: Path, threshold: float) -> None:
    """Print the ratios of two reports; exit 1 where a row became slower."""
    from fuw.bench import compare

    lines, slower = compare.compare(compare.read(old), compare.read(new), threshold)
    click.echo("\n".join(lines))
    for line in slower:
        click.echo(line, err=True)
    sys.exit(1 if slower else 0)


@click.command(epilog=EXIT_CODES)
@click.option("--weights", default="starter", show_default=True,
              help="'starter', or a folder that fuw-export wrote.")
@click.option("--checkpoints", type=PATH, help="Check this folder of official checkpoints too.")
@click.option("--cache", type=PATH, help="Engine cache; default: the user's own.")
@click.option("--prune", is_flag=True, help="Remove engines that are stale or not trusted.")
@click.option("--unused", type=click.FloatRange(min=0), default=None, metavar="DAYS",
              help="With --prune: also engines not used for so long; 0 removes all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.version_option(__version__)
@guarded
def info(weights: str, checkpoints: Path | None, cache: Path | None, prune: bool,
         unused: float | None, as_json: bool) -> None:
    """Show devices, backends, weights and caches, and how to mend what is missing.

    \b
    fuw-info
    fuw-info --checkpoints checkpoints --json
    fuw-info --prune --unused 30
    """
    import json

    from fuw.engine import folders, inspect, store

    if unused is not None and not prune:
        raise click.UsageError("--unused goes with --prune")
    if prune:
        for path in store.prune(cache or folders.cache_folder(), unused):
            click.echo(f"removed {path}", err=True)
    with live_line() as say:
        found = inspect.inspect(weights, cache, checkpoints, say)
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else inspect.render(found))
    sys.exit(0 if found.ready else 1)
