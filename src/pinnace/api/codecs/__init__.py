"""Other wire forms of objects than JSON."""
