"""Hourly temperature and humidity of a measured station year, as a CSV of the Jena layout.

The station years come with pvlib: NREL's TMY3 files, typical meteorological years put together
from measured months of different years.  Here all records get one year's dates, so that time
runs on; the steps where two months of different years meet are left as they are, eleven hours
among 8,760.  A few values in TMY3 are interpolated by NREL, where the station missed them.
"""

from __future__ import annotations

import os
from pathlib import Path

from components.errors import InputError

STATIONS = {
    "greensboro": "723170TYA.CSV",  # Greensboro, North Carolina
    "sand-point": "703165TY.csv",  # Sand Point, Alaska
}
_YEAR = 2019  # any year of 365 days


def make_records(out: Path, station: str = "greensboro") -> bool:
    """Writes columns ``Date Time``, ``T (degC)`` and ``rh (%)``, one row an hour.

    Returns:
        True when the file was written, False when ``out`` holds these records already.

    Raises:
        InputError: an unknown station, or ``out`` exists and holds something else.
    """
    if station not in STATIONS:
        raise InputError(f"station {station!r} is unknown; choose one of {', '.join(STATIONS)}")
    content = _csv(station).encode()
    if out.exists():
        if out.is_file() and out.read_bytes() == content:
            return False
        raise InputError(
            f"{out}: exists and does not hold the records of {station}; "
            "name another path or remove it"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.parent / f".{out.name}.{os.getpid()}.part"
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, out)
    finally:
        aside.unlink(missing_ok=True)
    return True


def _csv(station: str) -> str:
    import pvlib  # late: it brings pandas, which `--help` need not wait for

    table, _ = pvlib.iotools.read_tmy3(
        Path(pvlib.__file__).parent / "data" / STATIONS[station],
        coerce_year=_YEAR,
        map_variables=True,
    )
    columns = zip(table.index, table["temp_air"], table["relative_humidity"], strict=True)
    rows = [f"{time:%d.%m.%Y %H:%M:%S},{t:.1f},{rh:.1f}" for time, t, rh in columns]
    return "\n".join(['"Date Time","T (degC)","rh (%)"', *rows]) + "\n"
