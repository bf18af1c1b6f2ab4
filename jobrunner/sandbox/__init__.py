"""A loopback server that speaks the providers' protocols and answers with real pictures, offline and for free."""
