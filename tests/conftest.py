"""Every jaxgen function is checked for shapes and types while the tests run."""

from jaxtyping import install_import_hook

hook = install_import_hook("jaxgen", "beartype.beartype")
