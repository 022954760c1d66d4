"""Reports of runs: single HTML pages that need neither a network nor a server."""
