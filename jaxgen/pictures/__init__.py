"""Pictures of a run; no other package of jaxgen draws."""
