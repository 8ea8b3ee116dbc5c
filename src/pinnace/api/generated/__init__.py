"""Tables made by hack/update.py; do not edit them by hand."""
