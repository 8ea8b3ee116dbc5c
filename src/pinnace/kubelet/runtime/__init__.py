"""Container runtimes behind one interface: CRI, and one in this process that runs nothing."""
