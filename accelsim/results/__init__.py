"""From times and counts to numbers: ledger, bounds, cost, result, comparison."""
