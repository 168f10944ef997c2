"""What tests share: naive second implementations, and small workloads to compare them on."""
