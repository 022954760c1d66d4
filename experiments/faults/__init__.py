"""A campaign of faults: killed processes and altered files. No run is lost, and none is changed."""
