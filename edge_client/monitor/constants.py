"""How plain models of the coursework standardise their inputs, unless told otherwise."""

from __future__ import annotations

# Of temperature (°C) and relative humidity (%) over the training part (the first 70 %) of
# jena_climate_2009_2016.csv, as the coursework publishes them.
JENA_MEAN = (9.107597, 75.904076)
JENA_DEVIATION = (8.654227, 16.557089)
