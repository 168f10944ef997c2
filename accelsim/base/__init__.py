"""What every room uses: registry, cache, files, YAML with its lines, errors."""
