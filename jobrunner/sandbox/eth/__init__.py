"""An Ethereum node for development: a real EVM (py-evm) behind JSON-RPC, with a pool and faults of its own."""
