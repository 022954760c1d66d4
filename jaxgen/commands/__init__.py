"""The subcommands of the console script `jaxgen`."""
