"""Pictures of a run. Nothing else in jaxgen draws."""
