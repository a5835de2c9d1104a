"""Makes data to try everything on without a download."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from components.default_data.records import STATIONS, make_records
from components.default_data.words import WordsRecipe, make_words
from components.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 made or already there, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m components.default_data", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    audio = kinds.add_parser(
        "audio", help="eight spoken words, synthetic, as one-second WAVs of 16 kHz"
    )
    audio.add_argument("out", type=Path, help="a folder, or a file ending in .zip")
    default = WordsRecipe()
    audio.add_argument("--seed", type=int, default=default.seed, help="default: %(default)s")
    audio.add_argument(
        "--speakers", type=int, default=default.speakers, help="voices; default: %(default)s"
    )
    audio.add_argument(
        "--takes",
        type=int,
        default=default.takes,
        help="clips of each word by each voice; default: %(default)s",
    )
    records = kinds.add_parser(
        "records", help="hourly temperature and humidity of a measured station year (TMY3)"
    )
    records.add_argument("out", type=Path, help="a CSV file")
    records.add_argument(
        "--station", choices=sorted(STATIONS), default="greensboro", help="default: %(default)s"
    )
    chosen = parser.parse_args(arguments)
    try:
        if chosen.kind == "audio":
            recipe = WordsRecipe(chosen.seed, chosen.speakers, chosen.takes)
            made = make_words(chosen.out, recipe)
        else:
            made = make_records(chosen.out, chosen.station)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or chosen.out}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{chosen.out}: {'made' if made else 'already there'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
