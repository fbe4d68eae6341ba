"""The command line: verbs and flags in, one exit code out; every error becomes one line for people here, and only here.

Importing this module imports no package beyond the standard library, so that `launch.py` can check a command with it
before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from app import present
from tv2tv_core.settings import SETTINGS

PROGRAM = "launch.py"
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # nothing is ever fetched while a verb runs; `fetch` alone lifts this
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_TEMP_DIR": str(Path(__file__).resolve().parent.parent / ".cache" / "gradio"),
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that spin while they wait make a machine that does anything else six times slower (docs/studio.md).
    "OMP_WAIT_POLICY": "PASSIVE",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command in one line and exit with 2."""
        self.exit(2, f"{message[:300]}. See `{self.prog} --help`.\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit code: 0, 2 for what a person can mend, 130 for Ctrl-C, 1 for a fault of ours."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        chosen = parse(sys.argv[1:] if arguments is None else arguments)
        os.environ.update(ENVIRONMENT)
        from app import commands

        return commands.run(chosen)
    except BrokenPipeError:  # the reader of our output has left, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C changes nothing any more
        print("stopped; nothing that was there before has been changed", file=sys.stderr)
        return 130
    except Exception as error:
        words, code = present.failure(error)
        print(words, file=sys.stderr)
        return code


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command as a namespace with `verb`, and for `train` the `key=value` overrides. Exits with 2 on a mistake."""
    parser = _parser()
    bare = not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help"))
    chosen, rest = parser.parse_known_args(["studio", *arguments] if bare else arguments)
    stray = [text for text in rest if chosen.verb != "train" or text.startswith("-") or "=" not in text]
    if stray:
        parser.error(f"unrecognised: {present.clip(' '.join(stray))}")
    chosen.overrides = rest
    return chosen


def _parser() -> Parser:
    """All verbs and flags."""
    parser = Parser(
        prog=PROGRAM,
        description="TV2TV Studio: a local model that thinks in words, then acts in pixels. "
        "Without a verb it starts the studio, with the flags of `studio`.",
        epilog="`launch.py test` runs the tests; what follows `test` goes to pytest.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", parser_class=Parser, required=True)
    for add in (_studio, _generate, _record, _train, _evaluate, _bench, _fetch):
        add(verbs)
    return parser


def _verb(verbs: argparse._SubParsersAction, name: str, words: str) -> argparse.ArgumentParser:
    """A sub-parser for one verb."""
    parser = verbs.add_parser(name, help=words, description=words, allow_abbrev=False)
    parser.set_defaults(verb=name)
    return parser


def _studio(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "studio", "start the studio and open it in the browser; this is what the bare command does")
    parser.add_argument("--port", metavar="P", help="where to listen (default: 7860, or the next free one)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--projects", metavar="DIR", help="folder of the projects (default: projects, beside launch.py)")
    parser.add_argument("--preset", metavar="NAME", help="the preset of new projects (default: embedded)")
    parser.add_argument("--listen", action="store_true", help="let other machines in; needs a password; plain HTTP")
    parser.add_argument(
        "--password",
        metavar="TEXT",
        help="ask for it before anything else, 8 or more characters; the variable TV2TV_PASSWORD keeps it out of the "
        "list of processes",
    )
    parser.add_argument(
        "--host-name",
        metavar="NAME",
        action="append",
        default=[],
        help="a name under which browsers reach the studio, such as studio.example or localhost:8080; repeatable",
    )


def _generate(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "generate", "make a clip: plan lines and frames, interleaved, as an MP4 and a JSON beside it")
    parser.add_argument("--preset", metavar="NAME", help="a preset, or a .yaml file (default: embedded)")
    parser.add_argument("--start", metavar="IMAGE|VIDEO|NAME", help="start frame: a file, or a name from assets/starts")
    parser.add_argument("--prompt", metavar="TEXT", help="what this clip is: map, style, mood")
    parser.add_argument("--plan", metavar="FILE", help="one plan line per chunk; the model writes the empty ones")
    parser.add_argument("--intent", metavar="TEXT", help="what should happen first, in your words; the model writes the lines")
    parser.add_argument("--out", metavar="FILE.mp4", default="clip.mp4", help="where to write (default: %(default)s)")
    parser.add_argument("--fps", metavar="N", help="frames a second: the preset's (17.5), or 2 or 4 times as many, smoothed")
    parser.add_argument("--scale", metavar="N", default="1", help="sharpened: a network draws 1, 2 or 4 times the size")
    words = "slow motion (0.25, 0.5: the frames between are drawn) or fast (2, 4); the frame rate is that of --fps"
    parser.add_argument("--speed", metavar="N", default="1", help=words)
    for row in SETTINGS:
        flag = "--" + row.name.replace("_", "-")
        parser.add_argument(flag, metavar="N", help=f"{row.help}; {row.allowed}")


def _record(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "record", "record gameplay with exact plan lines, motion and operation logs")
    parser.add_argument("--out", metavar="DIR", default="runs/arena", help="where to write (default: %(default)s)")
    parser.add_argument("--chunks", metavar="N", default="20000", help="chunks to train on (default: %(default)s)")
    parser.add_argument("--seed", metavar="N", default="1", help="the same seed records the same games")


def _train(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "train", "train a stage on recordings, going on from its last checkpoint; or export weights")
    stages = ("codec", "decoder", "motion", "stem", "tv2tv", "smooth", "sharpen", "all", "export")
    parser.add_argument("stage", choices=stages, help="what to train, `all` from recording to report, or `export`")
    parser.add_argument("--run", metavar="DIR", help="folder of the run (default: runs/STAGE)")
    words = "recordings (default: runs/arena); smooth and sharpen need pairs, such as runs/pairs"
    parser.add_argument("--data", metavar="DIR", help=words)
    parser.add_argument("--steps", metavar="N", help="stop after this many steps in all")
    parser.add_argument("--minutes", metavar="N", help="stop after this many minutes in all")
    parser.add_argument("--out", metavar="FILE", help="for `export`: the weights file to write (.safetensors)")
    parser.add_argument("--base", metavar="FILE|DIR", help="for `export`: weights of what this run did not train")
    parser.add_argument("--codec", metavar="DIR", help="for `export`: the codec's run")
    words = "for `export`: the run of another codec, for the chunk right behind given frames"
    parser.add_argument("--given-codec", metavar="DIR", help=words)
    parser.epilog = (
        "Further arguments of the form key=value override the stage's configuration, trainer.key=value the trainer's."
    )


def _evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "evaluate", "compare predictions with true futures on held-out recordings and write a report")
    parser.add_argument("--preset", metavar="NAME", help="a preset, or a .yaml file (default: embedded)")
    parser.add_argument("--data", metavar="DIR", default="runs/arena", help="recordings (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", default="runs/report", help="where to write (default: %(default)s)")
    words = "windows of prediction per split; everything else in proportion (default: %(default)s)"
    parser.add_argument("--count", metavar="N", default="64", help=words)
    parser.add_argument("--delivery", action="store_true", help="measure Smooth and Sharpen on runs/pairs instead")
    parser.add_argument(
        "--comparison",
        nargs=3,
        metavar=("TV2TV", "T2V", "THINK2V"),
        help="compare these three weight files at --count moments instead: docs/comparison.md",
    )
    words = "ask for every kind of intent at --count moments instead: docs/intent.md"
    parser.add_argument("--intents", action="store_true", help=words)
    parser.add_argument("--quick", action="store_true", help="a first look of a few minutes; --count is not used")


def _bench(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "bench", "measure speed, response to a rewritten line, and memory on this machine")
    parser.add_argument("--preset", metavar="NAME", help="a preset, or a .yaml file (default: embedded)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures into this file")


def _terminated(_signal: int, _frame: object) -> NoReturn:
    """SIGTERM ends a verb like Ctrl-C does, by unwinding, so that no half-written file stays."""
    raise SystemExit(143)


def project_root() -> Path:
    """The folder of the checkout."""
    return Path(__file__).resolve().parent.parent


def _fetch(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "fetch", "download the weights of a preset, after asking; a broken-off download goes on")
    parser.add_argument("name", metavar="PRESET", help="a preset, or a .yaml file: see docs/presets.md")
    parser.add_argument("--yes", action="store_true", help="agree to size and licence without being asked")


if __name__ == "__main__":
    sys.exit(main())
