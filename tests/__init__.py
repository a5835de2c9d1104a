"""A package, as IPython puts a folder on sys.path that holds a package of this name as well."""
