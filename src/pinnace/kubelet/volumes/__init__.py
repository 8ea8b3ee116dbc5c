"""Pods' volumes: what they hold (pure), how they are written, mounted, kept current and taken away."""
