"""Building an Error Simulator and watching it: collect, train, evaluate, alignment, refresh (docs/simulator.md)."""
