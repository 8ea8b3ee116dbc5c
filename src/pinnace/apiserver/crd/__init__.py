"""CustomResourceDefinitions at run time: ``registrar`` serves what they define, ``controller`` keeps their status and
deletes their objects."""
