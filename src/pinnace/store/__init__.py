"""The object store: etcd's model behind one small protocol (design D4). Knows bytes and revisions, not kinds."""
