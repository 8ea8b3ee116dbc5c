"""Building blocks that know nothing of Kubernetes: time, back-off, queues, supervision."""
