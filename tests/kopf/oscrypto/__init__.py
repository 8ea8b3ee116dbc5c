"""See ``certbuilder``."""
