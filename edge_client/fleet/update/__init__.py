"""A version on its way: fetched, verified, tried out, installed."""
