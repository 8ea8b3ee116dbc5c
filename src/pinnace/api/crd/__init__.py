"""CustomResourceDefinitions, purely: what is wrong with one, and the registry rows that it stands for.

``validation`` checks a definition in upstream's words, ``compile`` makes rows of it, ``naming`` and ``conditions`` tell
its status. Nothing here knows of the store or of time; ``apiserver.crd`` follows the definitions that are stored.
"""
