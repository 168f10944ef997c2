"""SystemVerilog of the hardware that the simulator models, and what it computes bit for bit."""
