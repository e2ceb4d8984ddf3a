"""`scripts/cluster-test`: five hosts made of namespaces, what is checked on them, and how they are broken."""
