"""What decode does, counted with lists and sets: steps, masks and bursts."""


def steps_of(lengths, batch):
    """Tokens of each step: by position, then by sequence; only full batches."""
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    places = [(position, index) for index, n in enumerate(lengths) for position in range(n)]
    tokens = [starts[index] + position for position, index in sorted(places)]
    return [tokens[first : first + batch] for first in range(0, len(tokens) - batch + 1, batch)]


def kept(row, n, m):
    """Positions of the N largest magnitudes of each M; the lower position wins a tie."""
    positions = set()
    for first in range(0, len(row), m):
        group = range(first, min(first + m, len(row)))
        positions |= set(sorted(group, key=lambda position: (-abs(row[position]), position))[:n])
    return positions


def fetched(rows, columns, value_bytes, burst):
    """Bytes of the bursts that hold any byte of the rows of a contiguous matrix."""
    width = columns * value_bytes
    bursts = {byte // burst for row in rows for byte in range(row * width, (row + 1) * width)}
    return len(bursts) * burst


def layer_bytes(needed, shape, tiling, value_bytes, burst):
    """Bytes of one layer in a step: each tile of W is stored by itself."""
    reduction, columns = shape
    total = 0
    for first_row in range(0, reduction, tiling.reduction):
        rows = range(first_row, min(first_row + tiling.reduction, reduction))
        inside = {row - first_row for row in rows if row in needed}
        for first in range(0, columns, tiling.columns):
            width = min(tiling.columns, columns - first)
            total += fetched(inside, width, value_bytes, burst)
    return total
