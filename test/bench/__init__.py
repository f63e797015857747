"""fsm beside the proxies a user would pick instead: see run."""
