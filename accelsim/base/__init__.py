"""Tools that every other package uses: registry, cache, files, YAML with its lines, errors."""
