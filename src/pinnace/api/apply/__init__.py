"""Server-side apply and field management (``metadata.managedFields``), pure: who owns which field of an object.

``typed``      what lists and maps are to apply: sets, keyed lists, atomic or granular, of built-in kinds and of CRDs
``fieldset``   sets of fields, in the very form in which ``fieldsV1`` has them
``compare``    which fields a change adds, changes, removes; which fields a configuration names
``merge``      a configuration merged into an object, fields taken out of one, what is wrong with one
``managers``   the entries of ``managedFields``
``update``     ownership after a create, an update or a patch
``apply``      an apply: conflicts, merge, removal of what is not applied any more
``scale``      ownership of ``spec.replicas`` seen through the scale subresource
``reset``      fields that an endpoint ignores, and that nobody owns through it

Behaviour is that of ``sigs.k8s.io/structured-merge-diff`` and apimachinery's ``managedfields``.
"""
