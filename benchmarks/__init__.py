"""What a ticket search costs here, against what a careful user would write: `python -m benchmarks.run --help`."""
