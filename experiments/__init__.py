"""What trains or measures, one file each: `python -m experiments.NAME --help`."""
