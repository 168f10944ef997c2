"""The RTL: SystemVerilog of an architecture, its stimulus, and what the simulator expects of it."""
