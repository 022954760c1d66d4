"""Every jaxgen function is checked for shapes and types while the tests run."""

import jax
from jaxtyping import install_import_hook

install_import_hook("jaxgen", "beartype.beartype")

# The programs under test are tiny: compiling them takes most of the time, running them none.
jax.config.update("jax_disable_most_optimizations", True)
