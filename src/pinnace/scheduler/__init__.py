"""The scheduler: which node a Pod runs on, computed over all nodes at once on arrays (design D7).

``nodes`` holds the arrays, ``plugins`` the rules, ``placement`` turns Pods into decisions (pure), ``queue`` says which
Pod is next, ``scheduler`` is the shell that watches and binds.
"""
