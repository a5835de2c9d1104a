"""The registry: which bundles there are, which channel offers which, and the proof of it.

A TUF repository in a folder (``repository``, ``transaction``, ``keys``, ``rotation``), what it says
about models (``store``), and one HTTP service over it (``app``, ``front``, ``access``, the routes).
"""
