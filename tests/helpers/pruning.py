"""Pruning in plain Python: one value at a time, with the formulas of the literature.

Nothing here is shared with the package. Numbers are Python floats; where float32 arithmetic decides
about a mask, one float32 operation is done at a time.
"""

import math

import numpy as np

LARGEST_CODE = {"int4": 7, "int8": 127}
SIGNIFICANT_BITS = {"fp8": 4, "bf16": 8, "fp16": 11}
FINEST_UNIT = {"fp8": -9, "bf16": -133, "fp16": -24}  # exponent of the smallest number above zero


def f32(value):
    """Round to float32."""
    return float(np.float32(value))


def rounded(value, precision):
    """Round to the nearest number of a float format, half to even."""
    if value == 0:
        return 0.0
    _, exponent = math.frexp(value)  # value = m × 2^exponent with 1/2 <= |m| < 1
    digits = SIGNIFICANT_BITS[precision]
    unit = 2.0 ** max(exponent - digits, FINEST_UNIT[precision])
    return round(value / unit) * unit


def fp8_scale(row):
    """Return what makes the largest magnitude of a row 448."""
    peak = max(abs(value) for value in row)
    return f32(np.float32(peak) / np.float32(448)) if peak else 1.0


def fp8(value):
    """Round to the nearest number of E4M3, at most 448."""
    return math.copysign(min(448.0, abs(rounded(value, "fp8"))), value)


def held(row, precision):
    """Return one token (or one output's weights) as the hardware ranks it, and what that means."""
    if precision == "float":
        return list(row), list(row)
    if precision == "fp8":
        scale = fp8_scale(row)
        codes = [fp8(f32(np.float32(value) / np.float32(scale))) for value in row]
        return codes, [f32(np.float32(code) * np.float32(scale)) for code in codes]
    if precision in ("nvfp4", "mxfp4"):
        return blocks(row, precision)
    if precision not in LARGEST_CODE:
        narrow = [rounded(value, precision) for value in row]
        return narrow, narrow
    peak = max(abs(value) for value in row)
    scale = f32(np.float32(peak) / np.float32(LARGEST_CODE[precision])) if peak else 1.0
    codes = [round(f32(np.float32(value) / np.float32(scale))) for value in row]
    return codes, [f32(np.float32(code) * np.float32(scale)) for code in codes]


def fp4(value):
    """Round to the nearest of the eight magnitudes of E2M1, a tie to the one with an even code."""
    magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    code = min(range(8), key=lambda c: (abs(magnitudes[c] - abs(value)), c % 2))
    return math.copysign(magnitudes[code], value)


def block_scale(peak, precision):
    """Return the scale of a block with this largest magnitude."""
    if precision == "nvfp4":
        return max(2.0**-9, fp8(f32(np.float32(peak) / np.float32(6))))
    return 2.0 ** max(-127, math.floor(math.log2(peak)) - 2) if peak else 2.0**-127


def blocks(row, precision):
    """Return a token in fp4 as the hardware ranks it, and what that means."""
    outer = 1.0
    if precision == "nvfp4" and any(row):
        outer = f32(np.float32(max(map(abs, row))) / np.float32(2688)) or 1.0
    shrunk = [f32(np.float32(value) / np.float32(outer)) for value in row]
    found, size = [], {"nvfp4": 16, "mxfp4": 32}[precision]
    for start in range(0, len(row), size):
        part = shrunk[start : start + size]
        scale = block_scale(max(map(abs, part)), precision)
        found += [fp4(f32(np.float32(v) / np.float32(scale))) * scale for v in part]
    return found, [f32(np.float32(v) * np.float32(outer)) for v in found]


def nearest(value, precision):
    """Round to the nearest number of a format, integers too."""
    if precision == "fp8":
        return fp8(value)
    return float(round(value)) if precision in LARGEST_CODE else rounded(value, precision)


def grouped(row, formats):
    """Return weights of one output as they are after a format such as `int8/int4:32`."""
    wide, narrow = formats.split("/")
    name, size = narrow.split(":")
    found = []
    for start in range(0, len(row), int(size)):
        group = row[start : start + int(size)]
        peak = f32(max(abs(value) for value in group))
        scale = nearest(f32(np.float32(peak) / np.float32(LARGEST_CODE[name])), wide) or 1.0
        for value in group:
            code = round(f32(np.float32(value) / np.float32(scale)))
            code = max(-LARGEST_CODE[name], min(LARGEST_CODE[name], code))
            found.append(nearest(f32(np.float32(code) * np.float32(scale)), wide))
    return found


def scores(row, factors, precision):
    """Return what is ranked if the values of a token are scaled by factors."""
    most = max(factors)
    if precision == "float":
        return [f32(np.float32(v) * np.float32(f)) for v, f in zip(row, factors, strict=True)]
    if precision in LARGEST_CODE:
        codes = [min(255, max(1, round(255 * factor / most))) for factor in factors]
        return [value * code for value, code in zip(row, codes, strict=True)]
    if precision == "fp8":
        scale = f32(max(factors) / 448)
        codes = [max(2.0**-9, fp8(f32(f32(factor) / scale))) for factor in factors]
        return [value * code for value, code in zip(row, codes, strict=True)]
    precision = "bf16" if precision in ("nvfp4", "mxfp4") else precision
    shrunk = [factor / most for factor in factors] if precision == "fp16" else map(f32, factors)
    small = [rounded(factor, precision) for factor in shrunk]
    return [rounded(v * f, precision) for v, f in zip(row, small, strict=True)]


def largest(row, pattern):
    """Return the mask of one token under `N:M` or `topk:D`: by sorting, lower index first."""
    if pattern.startswith("topk:"):
        count = max(1, round(float(pattern.removeprefix("topk:")) * len(row)))
        groups = [(range(len(row)), count)]
    else:
        n, m = map(int, pattern.split(":"))
        starts = range(0, len(row), m)
        groups = [(range(start, min(start + m, len(row))), n) for start in starts]
    mask = [False] * len(row)
    for group, count in groups:
        for place in sorted(group, key=lambda index: (-abs(row[index]), index))[:count]:
            mask[place] = True
    return mask


def column_norms(rows):
    """CLACT: sqrt(sum of squares) of each channel over the tokens of a sequence."""
    return [math.sqrt(math.fsum(row[j] ** 2 for row in rows)) for j in range(len(rows[0]))]


def quantile(values, share):
    """Return the value below which a share of all lies, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def amber_norms(weight):
    """Amber: norms of the columns of W `[O][K]`, standardised without its outermost percent."""
    every = [value for row in weight for value in row]
    low, high = quantile(every, 0.005), quantile(every, 0.995)
    inliers = [value for value in every if low <= value <= high]
    mean = math.fsum(inliers) / len(inliers)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in inliers) / len(inliers)) or 1.0
    return column_norms([[(value - mean) / deviation for value in row] for row in weight])


def select(rows, pattern, precision, *, factors=None, sequences=None):
    """Return the real values of tokens and their masks.

    Args:
        rows: tokens.
        pattern: `dense`, `N:M` or `topk:D`.
        precision: `float` or that of a machine.
        factors: of the channels.
        sequences: for CLACT, how many sequences of equal length the rows are; else None.
    """
    pairs = [held(row, precision) for row in rows]
    reals = [real for _, real in pairs]
    by_token = [factors] * len(rows)
    if sequences is not None:
        length = len(rows) // sequences
        norms = [column_norms(reals[i * length : (i + 1) * length]) for i in range(sequences)]
        by_token = [norms[token // length] for token in range(len(rows))]
    masks = []
    for (operands, _), scale in zip(pairs, by_token, strict=True):
        ranked = operands if scale is None else scores(operands, scale, precision)
        masks.append([True] * len(operands) if pattern == "dense" else largest(ranked, pattern))
    return reals, masks


def lower_median(values):
    """Return the middle value, the lower one of two."""
    return sorted(values)[(len(values) - 1) // 2]


def shifted(rows, shifts, sign):
    """Add sign × a float32 number to each value."""
    return [
        [f32(np.float32(v) + np.float32(sign * s)) for v, s in zip(row, by, strict=True)]
        for row, by in zip(rows, shifts, strict=True)
    ]


def masked(rows, masks):
    """Put zeros where the masks are false."""
    return [
        [v if keep else 0.0 for v, keep in zip(row, mask, strict=True)]
        for row, mask in zip(rows, masks, strict=True)
    ]


def variance(values):
    """Return the variance; its divisor cancels in VAR."""
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def squares(values):
    """Return the squared length."""
    return math.fsum(value**2 for value in values)


def prune(rows, mitigation, chosen, state=None):
    """Return what enters the product instead of the tokens, the mask, and what was dropped.

    Args:
        rows: tokens.
        mitigation: its name.
        chosen: from values to (reals, masks).
        state: `{"shift": [K]}` or `{"scale": [K]}`.
    """
    if mitigation in ("dpts", "spts", "lpts"):
        if mitigation == "dpts":
            shifts = [[lower_median(row)] * len(row) for row in rows]
        else:
            shifts = [state["shift"]] * len(rows)
        reals, masks = chosen(shifted(rows, shifts, -1))
        return shifted(masked(reals, masks), shifts, 1), masks, None
    reals, masks = chosen(rows)
    kept = masked(reals, masks)
    dropped = masked(reals, [[not keep for keep in mask] for mask in masks])
    size = {"var": variance, "l2": squares}.get(mitigation, lambda _: 0)
    for token, (real, left) in enumerate(zip(reals, kept, strict=True)):
        if size(left) > 0:
            factor = math.sqrt(size(real) / size(left))
            kept[token] = [factor * value for value in left]
    if mitigation == "ls":
        kept = [[f32(v * s) for v, s in zip(row, state["scale"], strict=True)] for row in kept]
    return kept, masks, dropped


def best_vector(which, target, weight, ridge=1e-4):
    """Return v that brings (which ⊙ v) Wᵀ nearest to target Wᵀ, by the full design matrix.

    There is a row for each token and output, and one for each v_j that holds it near zero with
    `ridge` times the mean square of a column.
    """
    design = [[w * o for w, o in zip(row, out, strict=True)] for row in which for out in weight]
    right = [sum(t * o for t, o in zip(row, out, strict=True)) for row in target for out in weight]
    design = np.array(design, dtype=np.float64)
    features = design.shape[1]
    pull = math.sqrt(ridge * np.square(design).sum() / features + 1e-30)
    design = np.vstack([design, pull * np.eye(features)])
    return np.linalg.lstsq(design, np.array([*right, *[0.0] * features]), rcond=None)[0]


def product(rows, weight):
    """Return rows @ weight.T, float64."""
    return np.array(rows, dtype=np.float64) @ np.array(weight, dtype=np.float64).T


def output_error(rows, others, weight):
    """Return the squared distance of two products."""
    return float(np.square(product(rows, weight) - product(others, weight)).sum())


def logit_losses(logits, targets):
    """Return -log softmax(logits)[target] of each row, float64."""
    wide = np.asarray(logits, dtype=np.float64)
    most = wide.max(axis=-1, keepdims=True)
    log_sums = np.log(np.exp(wide - most).sum(axis=-1)) + most[:, 0]
    return log_sums - wide[np.arange(len(wide)), np.asarray(targets)]


def held_weight(weight, mitigation, scale, precision):
    """Return weights as the machine holds them; the scales of `ls` hide in what is rounded."""
    if mitigation != "ls":
        return [held(row, precision)[1] for row in weight]
    scaled = [[f32(w * s) for w, s in zip(row, scale, strict=True)] for row in weight]
    return [
        [value / s for value, s in zip(held(row, precision)[1], scale, strict=True)]
        for row in scaled
    ]


def low_rank(dropped, left, right, precision):
    """Return what comes back of dropped rows through `left @ right`, each held by the machine."""
    inner = product(dropped, [held(row, precision)[1] for row in right])
    rows = [held([f32(value) for value in row], precision)[1] for row in inner.tolist()]
    return product(rows, [held(row, precision)[1] for row in left])
