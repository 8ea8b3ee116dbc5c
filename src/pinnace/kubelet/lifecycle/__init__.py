"""The Pod lifecycle as functions: spec, runtime state, probe results and time in; actions and PodStatus out."""
