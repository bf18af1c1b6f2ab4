"""One file a provider: it speaks that provider's protocol, and knows nothing of jobs, rows or queues."""
